import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { elementCount } from "../../shared/tensors/layout.ts";
import { buildModel } from "../../worker/model/model.ts";
import { writeRandomModel } from "../support/randomModel.ts";
import type { TrainingCase } from "./trainingBench.ts";

/** Tokens of every sample: the rows are longer, so that each step works on the same number. */
export const sequenceLength = 256;

/** A Llama of about 0.1 B parameters. */
const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 32_000,
  hidden_size: 768,
  intermediate_size: 2048,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  num_key_value_heads: 4,
  head_dim: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  max_position_embeddings: 2048,
  tie_word_embeddings: true,
};

/** The LoRA settings that `coord launch` has by default. */
const lora = { kind: "lora", r: 8, alpha: 16, dropout: 0, targetModules: ["q_proj", "v_proj"] } as const;

/** Size of the generated model, from the model's own description. */
export function modelSize(): { readonly parameters: number; readonly trainable: number; readonly shape: string } {
  const { frozen, layout } = buildModel(config, "config.json", lora);
  const parameters = [...frozen.values()].reduce((total, shape) => total + elementCount(shape), 0);
  const shape =
    `hidden ${config.hidden_size}, ${config.num_hidden_layers} layers, ${config.num_attention_heads} heads ` +
    `(${config.num_key_value_heads} key-value), intermediate ${config.intermediate_size}, vocabulary ${config.vocab_size}, tied`;
  return { parameters, trainable: layout.elements, shape };
}

/** Writes the model and its rows to a temporary directory for as long as `work` takes. */
export async function withGeneratedModel<T>(work: (cases: TrainingCase[]) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-model-"));
  try {
    const model = join(directory, "model");
    const data = join(directory, "rows.jsonl");
    await writeRandomModel(model, config);
    await writeFile(data, textRows(64));
    const args = ["--model", model, "--data", data, "--max-length", String(sequenceLength)];
    const rest = ["--per-device-train-batch-size", "1", "--max-steps", "8", "--save-steps", "0"];
    return await work([
      { name: "1 node × 1 worker", args: [...args, ...rest, "--nodes", "1", "--gpus", "1"] },
      { name: "1 node × 2 workers", args: [...args, ...rest, "--nodes", "1", "--gpus", "2"] },
    ]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Rows of plain text, each longer than a sequence; the tokenizer makes a token of each byte. */
export function textRows(count: number): string {
  const words = ["gradient", "worker", "adapter", "step", "bucket", "slot", "checkpoint", "token"];
  const row = (index: number) =>
    Array.from({ length: sequenceLength }, (_, word) => words[(index * 7 + word * 3) % words.length]).join(" ");
  return Array.from({ length: count }, (_, index) => `${JSON.stringify({ text: row(index) })}\n`).join("");
}

/** Arguments without these flags and their values. */
export function withoutFlags(args: readonly string[], flags: readonly string[]): string[] {
  return args.filter((word, at) => !flags.includes(word) && !flags.includes(args[at - 1] ?? ""));
}
