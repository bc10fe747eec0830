import { rm } from "node:fs/promises";
import type { Device } from "../../worker/engine/device.ts";
import { openOnnxEngine } from "../../worker/engine/onnx/openOnnxEngine.ts";
import { providerFacts } from "../../worker/engine/onnx/providerFacts.ts";
import { loadTfjs } from "../../worker/engine/tfjs/loadTfjs.ts";
import { openTfjsEngine } from "../../worker/engine/tfjs/openTfjsEngine.ts";
import { engineContract } from "../support/engineContract.ts";
import { randomWeights, tinyConfig, tinyLora, writeModel } from "../support/tinyModel.ts";

const mebibytes = 2 ** 20;

engineContract({
  name: "onnx (cpu)",
  missing: undefined,
  open: (modelDirectory, trainable) => openOnnxEngine(modelDirectory, trainable, 1),
  tolerance: 1e-5,
  held: () => process.memoryUsage.rss(),
  heldSlack: 100 * mebibytes,
  steps: 500,
  keepsNaN: true,
});

engineContract({
  name: "onnx (cpu, layer by layer)",
  missing: undefined,
  open: (modelDirectory, trainable) =>
    openOnnxEngine(modelDirectory, trainable, 1, { execution: { kind: "layered", storage: "file" } }),
  tolerance: 1e-5,
  held: () => process.memoryUsage.rss(),
  heldSlack: 100 * mebibytes,
  steps: 500,
  keepsNaN: true,
});

/** Debian's chromium brings a processor that poses as a GPU: slow, so only for who asks. */
const software = "VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json";
const hasSoftwareGpu = process.env["VK_ICD_FILENAMES"]?.includes("swiftshader") === true;
const facts = providerFacts();
const absent = {
  webgpu:
    facts.gpus.length === 0 && !hasSoftwareGpu ? `this host shows no GPU; ${software} takes chromium's` : undefined,
  cuda: facts.hasCudaLibrary ? undefined : "onnxruntime's CUDA library is not installed",
};

for (const kind of ["webgpu", "cuda"] as const) {
  engineContract({
    name: `onnx (${kind})`,
    missing: absent[kind] ?? (await whyNot({ kind })),
    open: (modelDirectory, trainable) => openOnnxEngine(modelDirectory, trainable, 1, { device: { kind } }),
    tolerance: 1e-4,
    held: () => process.memoryUsage.rss(),
    heldSlack: 100 * mebibytes,
    steps: 500,
    slow: hasSoftwareGpu,
    keepsNaN: kind === "cuda",
  });
}

const plain = loadTfjs(false);
engineContract({
  name: "tfjs (plain JavaScript)",
  missing: undefined,
  open: (modelDirectory, trainable) => openTfjsEngine(modelDirectory, trainable, { library: plain }),
  tolerance: 1e-5,
  held: () => plain.tf.memory().numTensors,
  heldSlack: 0,
  steps: 500,
  keepsNaN: true,
});

const native = loadTfjs();
engineContract({
  name: "tfjs (TensorFlow)",
  missing: native.description.includes("TensorFlow") ? undefined : native.choice,
  open: (modelDirectory, trainable) => openTfjsEngine(modelDirectory, trainable, { library: native }),
  tolerance: 1e-4,
  held: () => native.tf.memory().numTensors,
  heldSlack: 0,
  steps: 500,
  keepsNaN: true,
});

async function whyNot(device: Device): Promise<string | undefined> {
  const directory = await writeModel(tinyConfig, randomWeights(tinyConfig));
  try {
    await (await openOnnxEngine(directory, tinyLora, 1, { device })).dispose();
    return undefined;
  } catch (thrown) {
    return (thrown as Error).message;
  } finally {
    await rm(directory, { recursive: true });
  }
}
