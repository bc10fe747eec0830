import { writeFile } from "node:fs/promises";
import type { CoordHome } from "./coord.ts";
import { writeRandomModel } from "./randomModel.ts";

/** A model that computes a step in milliseconds. */
const smallConfig = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 128,
  vocab_size: 320,
  tie_word_embeddings: true,
};

/** Makes a small model and `rows` HuatuoGPT rows in `home`; returns the flags that train on them. */
export async function smallRun(home: CoordHome, rows = 40): Promise<string[]> {
  await writeRandomModel(home.path("model"), smallConfig);
  const lines = Array.from({ length: rows }, (_, index) =>
    JSON.stringify({ data: [`问：第${index}天睡不好怎么办？`, `答：先固定起床时间，第${index}天再看看效果。`] }),
  );
  await writeFile(home.path("rows.jsonl"), `${lines.join("\n")}\n`);
  return [
    ["--model", home.path("model")],
    ["--data", home.path("rows.jsonl")],
    ["--per-device-train-batch-size", "2"],
    // Other thread counts may sum in another order; with one thread all hosts and world sizes agree.
    ["--threads-per-worker", "1"],
    ["--learning-rate", "0.01"],
    ["--lora-dropout", "0.1"],
  ].flat();
}

/** Environment in which each step takes at least `milliseconds`, so that a test meets the run at work on a fast host too. */
export function slowedDown(milliseconds: number): Record<string, string> {
  return { COORD_FAILPOINT: `slow@${milliseconds}@0/0`, COORD_FAILPOINT_MARKER: "always" };
}
