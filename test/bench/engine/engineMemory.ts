import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { allocatorEnvironment } from "../../../worker/allocatorEnvironment.ts";
import { writeLargeModel } from "../../support/largeModel.ts";
import type { MeasuredMemory, MemoryCase } from "./memoryCase.ts";

/** A model on disk and the engines that are measured on it. */
export interface MemoryModel {
  readonly name: string;
  readonly config: object;
  readonly vocabularySize: number;
  readonly dtype: "F32" | "BF16";
  readonly cases: readonly (Omit<MemoryCase, "vocabularySize"> & { readonly name: string })[];
}

export interface MemoryRow extends MeasuredMemory {
  readonly model: string;
  readonly name: string;
}

/** Writes each model, measures its cases one after the other, each in a process of its own, and removes it again. */
export async function measureEngineMemory(
  models: readonly MemoryModel[],
  signal: AbortSignal,
  progress: (line: string) => void,
): Promise<MemoryRow[]> {
  const rows: MemoryRow[] = [];
  for (const { cases, config, dtype, name: model, vocabularySize } of models) {
    const directory = await mkdtemp(join(tmpdir(), "coord-bench-memory-"));
    try {
      progress(`${model}: writing ${dtype} weights`);
      await writeLargeModel(join(directory, "model"), config, dtype);
      for (const { name, ...wanted } of cases) {
        signal.throwIfAborted();
        progress(`${model}: ${name}`);
        rows.push({ model, name, ...(await measure(join(directory, "model"), { ...wanted, vocabularySize }, signal)) });
      }
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  return rows;
}

async function measure(modelDirectory: string, wanted: MemoryCase, signal: AbortSignal): Promise<MeasuredMemory> {
  const entry = fileURLToPath(new URL("./memoryProcess.js", import.meta.url));
  const { stdout } = await execa(process.execPath, [entry, JSON.stringify({ ...wanted, modelDirectory })], {
    cancelSignal: signal,
    stderr: "inherit",
    env: allocatorEnvironment(process.env),
  });
  return JSON.parse(stdout) as MeasuredMemory;
}
