import type { EngineCheck } from "../shared/doctor/engineCheck.ts";
import { toCoordError } from "../shared/errors.ts";
import { OnnxEngine } from "./engine/onnx/onnxEngine.ts";
import { buildModel } from "./model/model.ts";

// A process of its own for `coord doctor`: loads the engine, differentiates a tiny model and runs it once. The answer is
// one line of JSON on standard output. A native library that cannot be loaded, or that crashes, takes this process only.

const tinyModel = {
  architectures: ["LlamaForCausalLM"],
  hidden_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 8,
  vocab_size: 16,
};
const sequence = 8;

async function check(): Promise<EngineCheck> {
  const start = performance.now();
  const engine = await OnnxEngine.create(buildModel(tinyModel, "the tiny model", { kind: "full" }));
  await engine.setParameters(await engine.initialParameters(0));
  const ids = Int32Array.from({ length: sequence }, (_, position) => position);
  const gradient = new Float32Array(engine.layout.elements);
  const { sum, tokens } = await engine.forwardBackward({ batch: 1, sequence, inputIds: ids, labels: ids }, gradient);
  // What an untrained model loses is about the logarithm of its vocabulary.
  const expected = Math.log(tinyModel.vocab_size);
  const sane =
    Math.abs(sum / tokens - expected) < 0.5 && gradient.every(Number.isFinite) && gradient.some((g) => g !== 0);
  const { description } = engine;
  await engine.dispose();
  return sane
    ? { ok: true, engine: description, tookMs: performance.now() - start }
    : { ok: false, reason: `${description} computed a loss of ${sum / tokens} where about ${expected} is right` };
}

let answer: EngineCheck;
try {
  answer = await check();
} catch (thrown) {
  answer = { ok: false, reason: toCoordError(thrown).message };
}
process.stdout.write(`${JSON.stringify(answer)}\n`);
