import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildModel } from "../../../worker/model/model.ts";
import { writeRandomModel } from "../../support/randomModel.ts";
import { textRows } from "../generatedModel.ts";
import { measureRun } from "../measureRun.ts";
import { median, type Summary, summarize } from "../statistics.ts";

/** A small Llama with so large an adapter that it and AdamW's moments are 160 MB. */
const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 2048,
  hidden_size: 768,
  intermediate_size: 2048,
  num_hidden_layers: 2,
  num_attention_heads: 12,
  num_key_value_heads: 4,
  head_dim: 64,
  tie_word_embeddings: true,
};
const rank = 491;
/** A save every so many steps: two that it may disturb, then two that it does not. */
const cycle = 4;
export interface StallCase {
  readonly name: string;
  /** Milliseconds that each step waits for a device that is not this processor. */
  readonly deviceMs: number;
  /** Tokens of a sample, and samples of a step. */
  readonly tokens: number;
  readonly batch: number;
  /** Saves, the first of which only warms up. */
  readonly saves: number;
}

/** A GPU would leave the processor alone; here the engine takes all of it, and so does the save. */
export const stallCases: readonly StallCase[] = [
  { name: "device beside the processor (simulated)", deviceMs: 1980, tokens: 16, batch: 1, saves: 9 },
  { name: "all processors computing", deviceMs: 0, tokens: 1000, batch: 2, saves: 4 },
];

export interface StallResult {
  readonly name: string;
  readonly stateBytes: number;
  readonly saves: number;
  /** Undisturbed steps. */
  readonly stepMs: Summary;
  /** How much longer the step after a commit at which a save was due took than an undisturbed one. */
  readonly firstMs: Summary;
  /** The same of the step after that. */
  readonly secondMs: Summary;
  /** From the state's arrival at the coordinator to a checkpoint that would survive a loss of power. */
  readonly writeMs: Summary;
}

export async function measureStalls(signal: AbortSignal, onProgress: (line: string) => void): Promise<StallResult[]> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-stall-"));
  try {
    const model = join(directory, "model");
    await writeRandomModel(model, config);
    await writeFile(join(directory, "rows.jsonl"), textRows(64));
    const results: StallResult[] = [];
    for (const one of stallCases) {
      results.push(await measureStall(one, directory, signal));
      onProgress(`checkpoint stall, ${one.name}: ${results.at(-1)!.firstMs.median.toFixed(1)} ms`);
    }
    return results;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measureStall(
  { batch, deviceMs, name, saves, tokens }: StallCase,
  directory: string,
  signal: AbortSignal,
) {
  const args = [
    ...["--model", join(directory, "model"), "--data", join(directory, "rows.jsonl"), "--max-length", String(tokens)],
    ...["--lora-r", String(rank), "--target-modules", "all-linear", "--per-device-train-batch-size", String(batch)],
    ...["--max-steps", String(cycle * (saves + 1) - 1), "--save-steps", String(cycle)],
  ];
  const env = deviceMs > 0 ? { COORD_FAILPOINT: `slow@${deviceMs}@0/0`, COORD_FAILPOINT_MARKER: "always" } : {};
  const { recorded, writes } = await measureRun(args, signal, env);
  const took = new Map(recorded.map(({ step, stepMs }) => [step, stepMs]));
  const due = Array.from({ length: saves }, (_, index) => (index + 1) * cycle);
  const after = (step: number, distance: number) => took.get(step + distance)!;
  // The undisturbed steps of the cycle before: those right after loading are of no use.
  const undisturbed = due.flatMap((step) => [after(step, -1), after(step, 0)]).slice(2);
  const base = median(undisturbed);
  const longer = (distance: number) => summarize(due.slice(1).map((step) => after(step, distance) - base));
  return {
    ...{ name, saves: saves - 1, stateBytes: adapterBytes() * 3 },
    stepMs: { ...summarize(undisturbed), median: base },
    firstMs: longer(1),
    secondMs: longer(2),
    writeMs: summarize(writes.slice(1, -1).map(({ tookMs }) => tookMs)),
  };
}

function adapterBytes(): number {
  const lora = { kind: "lora", r: rank, alpha: 16, dropout: 0, targetModules: ["all-linear"] } as const;
  return buildModel(config, "config.json", lora).layout.elements * 4;
}
