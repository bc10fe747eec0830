import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { LocalCheckpointStore } from "../../../shared/checkpoint/localStore.ts";
import { initialTrainerState } from "../../../shared/checkpoint/trainerState.ts";
import type { CheckpointContents } from "../../../shared/checkpoint/types.ts";
import { runConfigSchema } from "../../../shared/config/schema.ts";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import { layOut } from "../../../shared/tensors/layout.ts";
import { type Summary, summarize } from "../statistics.ts";
import { type CheckpointFloor, measureFloor } from "./checkpointFloor.ts";

/** 160 MB of float32: an adapter and AdamW's two moments for each of its values. */
export const stateBytes = 160e6;
const rows = 1024;
const modules = 8;
const columns = Math.round(stateBytes / 12 / modules / 2 / rows);

const kinds = ["torch", "torch-sync", "dcp", "dcp-async"] as const;
export type TorchKind = (typeof kinds)[number];

export interface ThroughputResult {
  readonly bytes: number;
  readonly floor: CheckpointFloor;
  readonly repetitions: number;
  /** From the call to the checkpoint that would survive a loss of power. */
  readonly ownMs: Summary;
  readonly torch:
    | { readonly skipped: string }
    | {
        readonly version: string;
        readonly kinds: readonly {
          readonly kind: TorchKind;
          readonly ms: Summary;
          /** How long the caller is held up. */
          readonly stallMs: Summary;
          /** Ours ÷ theirs, of saves that followed each other. */
          readonly ratio: Summary;
        }[];
      };
}

/** Saves the same bytes with the store of runs and with PyTorch, taking turns, on the file system of `directory`. */
export async function measureThroughput(
  directory: string,
  repetitions: number,
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Promise<ThroughputResult> {
  const contents = bigContents();
  const { firstMoment, layout, parameters, secondMoment } = contents.state;
  const bytes = 12 * layout.elements;
  const all = new Float32Array(3 * layout.elements);
  for (const [index, vector] of [parameters, firstMoment, secondMoment].entries())
    all.set(vector, index * layout.elements);
  const floor = await measureFloor(directory, new Uint8Array(all.buffer));
  const python = process.env["COORD_PYTHON"] || "python3";
  const torch = await startTorch(python, layout.elements, signal);
  if (!torch) onProgress(`SKIPPED torch: ${python} has no torch (COORD_PYTHON names another Python)`);
  const own: number[] = [];
  const theirs = kinds.map((kind) => ({ kind, ms: [] as number[], stallMs: [] as number[], ratio: [] as number[] }));
  try {
    // The first round warms up: code, allocators and the file system's own structures.
    for (let repetition = 0; repetition <= repetitions; repetition++) {
      for (const { kind, ms, ratio, stallMs } of theirs) {
        const ours = await saveOnce(join(directory, "own"), contents);
        const other = await torch?.save(kind, join(directory, kind));
        if (repetition === 0) continue;
        own.push(ours);
        if (!other) continue;
        ms.push(other.ms);
        stallMs.push(other.stallMs);
        ratio.push(ours / other.ms);
      }
      onProgress(`checkpoint writes, round ${repetition} of ${repetitions}`);
    }
  } finally {
    await torch?.close();
  }
  return {
    ...{ bytes, floor, repetitions, ownMs: summarize(own) },
    torch: torch
      ? {
          version: torch.version,
          kinds: theirs.map(({ kind, ms, ratio, stallMs }) => ({
            ...{ kind, ms: summarize(ms), ratio: summarize(ratio), stallMs: summarize(stallMs) },
          })),
        }
      : { skipped: `${python} has no torch` },
  };
}

async function saveOnce(directory: string, contents: CheckpointContents): Promise<number> {
  const begin = performance.now();
  await new LocalCheckpointStore(directory).save(contents);
  const elapsed = performance.now() - begin;
  await rm(directory, { recursive: true });
  return elapsed;
}

function bigContents(): CheckpointContents {
  const layout = layOut(
    Array.from({ length: modules }, (_, module) => `base_model.model.model.layers.${module}.self_attn.q_proj`).flatMap(
      (name) => [
        { name: `${name}.lora_A.weight`, shape: [columns, rows] },
        { name: `${name}.lora_B.weight`, shape: [rows, columns] },
      ],
    ),
  );
  const values = (scale: number) => Float32Array.from({ length: layout.elements }, (_, at) => Math.sin(at) * scale);
  return {
    runId: "20261120-2154-k3f9",
    generation: 1n,
    state: { step: 10, layout, parameters: values(1), firstMoment: values(0.1), secondMoment: values(0.01) },
    trainerState: { ...initialTrainerState(runConfigSchema.parse({}), 100), global_step: 10 },
    adapterConfig: {
      ...{ base_model_name_or_path: "some/model", r: columns, lora_alpha: 16, lora_dropout: 0 },
      target_modules: ["q_proj"],
    },
    cursor: { seed: 42, epoch: 0, slots: 1, datasetSize: 1000 },
    fingerprints: {},
  };
}

/** A Python that saves what it is told to; undefined where it has no torch. */
async function startTorch(python: string, elements: number, signal: AbortSignal) {
  const script = join(packageRoot(), "test", "bench", "checkpoint", "torchSaves.py");
  const child = spawn(python, [script, String(elements)], { stdio: ["pipe", "pipe", "ignore"], signal });
  child.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { done, value } = await lines.next();
    return done ? undefined : (JSON.parse(value) as unknown);
  };
  const hello = (await answer()) as { version: string } | undefined;
  if (!hello) return undefined;
  return {
    version: hello.version,
    async save(kind: TorchKind, path: string) {
      child.stdin.write(`${kind} ${path}\n`);
      const times = await answer();
      if (!times) throw new Error(`${python} ended while it saved by ${kind}.`);
      return times as { ms: number; stallMs: number };
    },
    async close() {
      child.stdin.end();
      if (child.exitCode === null) await once(child, "exit");
    },
  };
}
