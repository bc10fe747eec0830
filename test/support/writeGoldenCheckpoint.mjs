// Writes the checkpoint of test/fixtures/checkpoints/v<format version>, which every later version must load. Run it once
// per format version, after `npm run build`, and never again for a version that has been released:
//   node test/support/writeGoldenCheckpoint.mjs 1
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { LocalCheckpointStore } from "../../dist/shared/checkpoint/localStore.js";
import { initialTrainerState } from "../../dist/shared/checkpoint/trainerState.js";
import { runConfigSchema } from "../../dist/shared/config/schema.js";
import { layOut } from "../../dist/shared/tensors/layout.js";

const version = process.argv[2];
if (!/^\d+$/.test(version ?? "")) throw new Error("Give the format version that is being written.");
const directory = join(dirname(fileURLToPath(import.meta.url)), "..", "fixtures", "checkpoints", `v${version}`);

const [hidden, rank] = [16, 4];
const modules = [0, 1].flatMap((layer) =>
  ["q_proj", "v_proj"].map((name) => `base_model.model.model.layers.${layer}.self_attn.${name}`),
);
const layout = layOut(
  modules.flatMap((module) => [
    { name: `${module}.lora_A.weight`, shape: [rank, hidden] },
    { name: `${module}.lora_B.weight`, shape: [hidden, rank] },
  ]),
);
// Sums of powers of two: the same in every arithmetic. Negative zero and the smallest number are among them.
const values = (salt) =>
  Float32Array.from({ length: layout.elements }, (_, index) => (((index * 37 + salt) % 257) - 128) / 2 ** 10);
const parameters = values(1);
parameters[0] = -0;
parameters[1] = 2 ** -149;

const scratch = mkdtempSync(join(tmpdir(), "coord-golden-"));
const tokenizer = join(scratch, "tokenizer_config.json");
writeFileSync(tokenizer, '{"eos_token": "</s>", "name": "中文"}\n');
const store = new LocalCheckpointStore(directory);
await store.save(
  {
    runId: "20261121-0700-gold",
    generation: 2n ** 64n - 1n,
    state: { step: 30, layout, parameters, firstMoment: values(2), secondMoment: values(3).map(Math.abs) },
    trainerState: {
      ...initialTrainerState(runConfigSchema.parse({}), 100),
      global_step: 30,
      epoch: 0.75,
      num_input_tokens_seen: 123456,
      best_metric: 1.25,
      best_global_step: 20,
      best_model_checkpoint: "/somewhere/checkpoint-20",
      log_history: [
        { loss: 2.5, learning_rate: 0.0002, grad_norm: 0.5, epoch: 0.5, step: 20 },
        { eval_loss: 1.25, epoch: 0.5, step: 20 },
        { loss: 1.5, learning_rate: 0.0001, grad_norm: 0.25, epoch: 0.75, step: 30 },
      ],
      stateful_callbacks: { EarlyStoppingCallback: { args: {}, attributes: { early_stopping_patience_counter: 1 } } },
    },
    adapterConfig: {
      base_model_name_or_path: "some/model",
      r: rank,
      lora_alpha: 8,
      lora_dropout: 0.05,
      target_modules: ["q_proj", "v_proj"],
    },
    cursor: { seed: 42, epoch: 0.75, slots: 4, datasetSize: 1000 },
    fingerprints: { dataset: "0123456789abcdef", threads: "1", node: "v20.19.0", arch: "x64" },
  },
  [tokenizer],
);
rmSync(scratch, { recursive: true });
