import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measureResume, type ResumeResult } from "./resumeTime.ts";
import { measureStalls, type StallResult } from "./saveStall.ts";
import { measureThroughput, type ThroughputResult } from "./writeThroughput.ts";

export interface CheckpointResult {
  readonly throughput: ThroughputResult;
  readonly stalls: readonly StallResult[];
  readonly resume: ResumeResult;
}

/** What a checkpoint costs: writing it, training while it is written, and coming back from it. */
export async function measureCheckpoints(
  repetitions: number,
  signal: AbortSignal,
  onProgress: (line: string) => void,
): Promise<CheckpointResult> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-checkpoint-"));
  try {
    const throughput = await measureThroughput(directory, repetitions, signal, onProgress);
    const stalls = await measureStalls(signal, onProgress);
    return { throughput, stalls, resume: await measureResume(3, signal) };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
