import { copyFile, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encodeSafetensors } from "../../../../shared/tensors/safetensors.ts";
import { openOnnxEngine } from "../../../../worker/engine/onnx/openOnnxEngine.ts";
import type { Trainable } from "../../../../worker/model/trainable.ts";
import {
  type NamedTensor,
  randomBatch,
  randomParameters,
  randomWeights,
  tinyConfig,
  tinyLora,
  writeModel,
} from "../../../support/tinyModel.ts";

let directory: string;
let weights: Map<string, NamedTensor>;
const file = (name: string) => join(directory, name);

beforeEach(async () => {
  weights = randomWeights(tinyConfig);
  directory = await writeModel(tinyConfig, weights);
});

afterEach(() => rm(directory, { recursive: true, force: true }));

/** Gradient and loss of one batch, to see that the same weights were read. */
async function compute(trainable: Trainable = tinyLora, from = directory) {
  const engine = await openOnnxEngine(from, trainable, 1);
  try {
    const gradient = new Float32Array(engine.layout.elements);
    await engine.setParameters(randomParameters(engine.layout.elements));
    return { loss: await engine.forwardBackward(randomBatch([9, 6]), gradient), gradient };
  } finally {
    await engine.dispose();
  }
}

const refusal = (message: string, code = "MODEL_INVALID") => ({ code, message: expect.stringContaining(message) });

const encode = (entries: Iterable<[string, NamedTensor]>) =>
  encodeSafetensors([...entries].map(([name, tensor]) => ({ name, ...tensor })));

async function shard(nameOf: (index: number) => string) {
  const half = [...weights].length / 2;
  const parts = [[...weights].slice(0, half), [...weights].slice(half)];
  const weightMap: Record<string, string> = {};
  for (const [index, part] of parts.entries()) {
    await writeFile(file(`part${index}`), encode(part));
    for (const [name] of part) weightMap[name] = nameOf(index);
  }
  await rm(file("model.safetensors"));
  await writeFile(file("model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map: weightMap }));
}

/** The same values in bfloat16 (cut off) and as float32. */
async function writeBf16() {
  const cut = new Map<string, NamedTensor>();
  for (const [name, { shape, data }] of weights) {
    const bits = new Uint32Array(data.slice().buffer).map((word) => word & 0xffff0000);
    cut.set(name, { shape, data: new Float32Array(bits.buffer) });
  }
  let offset = 0;
  const header: Record<string, unknown> = {};
  const bytes: Buffer[] = [];
  for (const [name, { shape, data }] of cut) {
    const halves = Uint16Array.from(new Uint32Array(data.buffer), (word) => word >>> 16);
    header[name] = { dtype: "BF16", shape, data_offsets: [offset, offset + halves.byteLength] };
    offset += halves.byteLength;
    bytes.push(Buffer.from(halves.buffer));
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  await writeFile(file("model.safetensors"), Buffer.concat([length, text, ...bytes]));
  return cut;
}

describe("the weights of a model directory", () => {
  it("give the same gradient from one file, from shards and through links such as HuggingFace's cache has", async () => {
    const expected = await compute();
    const cache = await mkdtemp(join(tmpdir(), "coord-cache-"));
    const blobs = join(cache, "models--owner--name", "blobs");
    const snapshot = join(cache, "models--owner--name", "snapshots", "0123");
    await mkdir(blobs, { recursive: true });
    await mkdir(snapshot, { recursive: true });
    for (const name of ["config.json", "model.safetensors"]) {
      await copyFile(file(name), join(blobs, `hash-of-${name}`));
      await symlink(`../../blobs/hash-of-${name}`, join(snapshot, name));
    }
    expect(await compute(tinyLora, snapshot)).toEqual(expected);
    await rm(cache, { recursive: true });
    await shard((index) => `part${index}`);
    expect(await compute()).toEqual(expected);
    await mkdir(file("elsewhere"));
    await rename(file("part1"), file("elsewhere/blob"));
    await symlink(file("elsewhere/blob"), file("part1"));
    expect(await compute()).toEqual(expected);
  });

  it("give the same gradient without the name of the model's body and under an older name of the head", async () => {
    const expected = await compute();
    const bare = [...weights].map(([name, tensor]) => [name.replace(/^model\./, ""), tensor] as [string, NamedTensor]);
    expect(bare.map(([name]) => name)).toContain("layers.0.self_attn.q_proj.weight");
    await writeFile(file("model.safetensors"), encode(bare));
    expect(await compute()).toEqual(expected);
    const older = [...weights].map(
      ([name, tensor]) => [name.replace(/^lm_head/, "embed_out"), tensor] as [string, NamedTensor],
    );
    expect(older.map(([name]) => name)).toContain("embed_out.weight");
    await writeFile(file("model.safetensors"), encode(older));
    expect(await compute()).toEqual(expected);
  });

  it("give the same gradient as bfloat16 and as the same values in float32", async () => {
    const cut = await writeBf16();
    const narrow = await compute();
    await writeFile(file("model.safetensors"), encode(cut));
    expect(narrow).toEqual(await compute());
  });

  it("are refused where files are missing, naming the file", async () => {
    await rm(file("model.safetensors"));
    await expect(compute()).rejects.toMatchObject(refusal("has neither model.safetensors nor"));
    await writeFile(file("pytorch_model.bin"), "");
    await expect(compute()).rejects.toMatchObject(refusal("save_pretrained(DIR, safe_serialization=True)"));
    await rm(file("config.json"));
    await expect(compute()).rejects.toMatchObject(refusal("has no config.json"));
    await expect(compute(tinyLora, file("nowhere"))).rejects.toMatchObject(refusal("There is no model directory"));
  });

  it("are refused where tensors are missing or have other shapes, naming the tensor", async () => {
    const [name, tensor] = [...weights][3]!;
    weights.delete(name);
    await writeFile(file("model.safetensors"), encode(weights));
    await expect(compute()).rejects.toMatchObject(refusal(`lack ${name}, which config.json asks for`));
    weights.set(name, { shape: [...tensor.shape, 1], data: tensor.data });
    await writeFile(file("model.safetensors"), encode(weights));
    const shapes = `has shape [${[...tensor.shape, 1].join(", ")}] where config.json asks for [${tensor.shape.join(", ")}]`;
    await expect(compute()).rejects.toMatchObject(refusal(shapes));
  });

  it("are refused where the file was cut off or its index leaves the directory", async () => {
    const bytes = await readFile(file("model.safetensors"));
    await writeFile(file("model.safetensors"), bytes.subarray(0, bytes.length - 10));
    await expect(compute()).rejects.toMatchObject(refusal("model.safetensors"));
    for (const path of ["../part0", "/etc/part0", "a/../../part0", "..\\part0"]) {
      await writeFile(file("model.safetensors"), bytes);
      await shard(() => path);
      await expect(compute()).rejects.toMatchObject(refusal("which is not in the model directory"));
    }
    await writeFile(file("model.safetensors"), bytes);
    await shard((index) => `lost${index}`);
    await expect(compute()).rejects.toMatchObject(refusal("names lost0, which"));
  });
});
