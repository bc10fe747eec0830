#!/usr/bin/env node
// Trains the demo's base model, with the same engine and optimizer as everything else, and writes it to deploy/demo/model/:
//   npm run build && node deploy/demo/train.mjs        # minutes on two cores
// The same host gives the same bytes; another processor may differ in the last bits.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Template } from "@huggingface/jinja";
import { Tokenizer } from "@huggingface/tokenizers";
import { randomKey, randomUint32 } from "../../dist/shared/rng.js";
import { encodeSafetensors } from "../../dist/shared/tensors/safetensors.js";
import { OnnxEngine } from "../../dist/worker/engine/onnx/onnxEngine.js";
import { buildModel } from "../../dist/worker/model/model.js";
import { adamWStep, clipFactor, l2Norm } from "../../dist/worker/train/optimizer.js";
import { learningRateAt } from "../../dist/worker/train/schedule.js";
import { composeCorpus } from "./corpus/compose.mjs";
import { tokenizerFiles, vocabularySize } from "./tokenizer.mjs";

const seed = 1;
const steps = 280;
const batch = 12;
const sequence = 128;
/** Every n-th document is held out, to see what is learned and what is only remembered. */
const heldOutEvery = 20;

const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: vocabularySize,
  hidden_size: 96,
  intermediate_size: 256,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 24,
  hidden_act: "silu",
  max_position_embeddings: 1024,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: true,
  pad_token_id: 0,
  bos_token_id: 1,
  eos_token_id: 2,
  torch_dtype: "float32",
};

const directory = join(dirname(fileURLToPath(import.meta.url)), "model");
mkdirSync(directory, { recursive: true });

const documents = composeCorpus();
const { tokenizerFile, tokenizerConfig } = tokenizerFiles();
writeJson("tokenizer.json", tokenizerFile);
writeJson("tokenizer_config.json", tokenizerConfig);
writeJson("config.json", config);

const tokenizer = new Tokenizer(tokenizerFile, tokenizerConfig);
const template = new Template(tokenizerConfig.chat_template);
const texts = documents.map((document) =>
  document.messages
    ? template.render({ ...document, bos_token: "<|bos|>", eos_token: "<|eos|>" })
    : `<|bos|>${document.text}<|eos|>`,
);
const training = tokenize(texts.filter((_, index) => index % heldOutEvery !== 0));
const heldOut = tokenize(texts.filter((_, index) => index % heldOutEvery === 0));
console.log(
  `${texts.length} documents, ${training.ids.length} training tokens, ${(training.bytes / training.ids.length).toFixed(2)} bytes each`,
);

const model = buildModel(config, join(directory, "config.json"), { kind: "full" });
const engine = await OnnxEngine.create(model, undefined, 2);
const { layout } = engine;
const vector = () => new Float32Array(layout.elements);
let state = {
  step: 0,
  layout,
  parameters: engine.initialParameters(seed),
  firstMoment: vector(),
  secondMoment: vector(),
};
let next = { ...state, parameters: vector(), firstMoment: vector(), secondMoment: vector() };
await engine.setParameters(state.parameters);
const schedule = { learningRate: 4e-3, lrSchedulerType: "cosine", warmupRatio: 0.05, warmupSteps: 0 };
const gradient = vector();
for (let step = 1; step <= steps; step++) {
  gradient.fill(0);
  const loss = await engine.forwardBackward(windows(training.ids, step), gradient);
  const scale = clipFactor(l2Norm(gradient, 1 / loss.tokens), 1) / loss.tokens;
  const learningRate = learningRateAt(schedule, step, steps);
  adamWStep(state, next, gradient, scale, { learningRate, beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.1 });
  [state, next] = [{ ...next, step }, state];
  await engine.setParameters(state.parameters);
  if (step % 50 === 0 || step === 1 || step === steps) {
    console.log(
      `step ${step}/${steps}  training ${perByte(loss, training)}  held out ${perByte(await evaluate(), heldOut)} nats per byte`,
    );
  }
}
await engine.dispose();

const tensors = layout.tensors.map(({ name, shape, offset }) => {
  const length = shape.reduce((product, size) => product * size, 1);
  return { name, shape, data: state.parameters.subarray(offset, offset + length) };
});
writeFileSync(join(directory, "model.safetensors"), encodeSafetensors(tensors, { format: "pt" }));

function writeJson(name, value) {
  writeFileSync(join(directory, name), `${JSON.stringify(value, null, 1)}\n`);
}

function tokenize(documentTexts) {
  const ids = documentTexts.flatMap((text) => tokenizer.encode(text, { add_special_tokens: false }).ids);
  return { ids, bytes: documentTexts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) };
}

/** Windows at random places of the text, documents one after the other. */
function windows(ids, step) {
  const inputIds = new Int32Array(batch * sequence);
  const key = randomKey("windows", seed, step);
  for (let row = 0; row < batch; row++) {
    const start = randomUint32(key, row) % (ids.length - sequence);
    inputIds.set(ids.slice(start, start + sequence), row * sequence);
  }
  return { batch, sequence, inputIds, labels: inputIds };
}

async function evaluate() {
  const total = { sum: 0, tokens: 0 };
  for (let at = 0; at + sequence <= heldOut.ids.length; at += sequence) {
    const inputIds = Int32Array.from(heldOut.ids.slice(at, at + sequence));
    const loss = await engine.evaluate({ batch: 1, sequence, inputIds, labels: inputIds });
    total.sum += loss.sum;
    total.tokens += loss.tokens;
  }
  return total;
}

function perByte({ sum, tokens }, { ids, bytes }) {
  return ((sum / tokens) * (ids.length / bytes)).toFixed(3);
}
