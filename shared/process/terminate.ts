import { systemClock } from "../clock.ts";
import { ancestorPids, isAlive, type ProcessIdentity, readEnvironment } from "./identity.ts";

/**
 * How an attempt to end a process ended: it was gone before ("gone"), SIGTERM was enough ("terminated"), SIGKILL was
 * needed ("killed"), it is still there after SIGKILL, as a process is that waits inside a driver ("survived"), or it is
 * not a process that we may end ("not-ours").
 */
export type TerminateOutcome = "gone" | "terminated" | "killed" | "survived" | "not-ours";

export interface TerminateOptions {
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  /** Stops waiting; no further signal is sent. */
  readonly signal?: AbortSignal;
  /** The process must have been started with this COORD_RUN_ID. */
  readonly expectRunId?: string;
}

/** Ends one process: SIGTERM, grace, SIGKILL. Its identity is checked again in front of each signal. */
export async function terminate(identity: ProcessIdentity, options: TerminateOptions): Promise<TerminateOutcome> {
  const { graceMs, signal } = options;
  for (const [name, waitMs, outcome] of [
    ["SIGTERM", graceMs, "terminated"],
    ["SIGKILL", killWaitMs, "killed"],
  ] as const) {
    signal?.throwIfAborted();
    const standing = standingOf(identity, options.expectRunId);
    if (standing === "gone") return name === "SIGTERM" ? "gone" : "terminated";
    if (standing === "not-ours" || !send(identity.pid, name)) return "not-ours";
    if (await goneWithin(identity, waitMs, signal)) return outcome;
  }
  return "survived";
}

/** Milliseconds that the kernel has for taking a killed process down, its GPU memory included. */
const killWaitMs = 10_000;
const firstPollMs = 5;
const longestPollMs = 200;

function standingOf(identity: ProcessIdentity, expectRunId: string | undefined): "ours" | "gone" | "not-ours" {
  const { pid } = identity;
  if (pid <= 1 || pid === process.pid || ancestorPids().includes(pid)) return "not-ours";
  // The environment first: whatever was read belongs to this process only if it is still the same one afterwards.
  const runId = expectRunId === undefined ? undefined : readEnvironment(pid)?.get("COORD_RUN_ID");
  if (!isAlive(identity)) return "gone";
  return runId === expectRunId ? "ours" : "not-ours";
}

function send(pid: number, name: "SIGTERM" | "SIGKILL"): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch (thrown) {
    // ESRCH: it ended by itself in this very moment; the wait that follows sees that.
    return (thrown as NodeJS.ErrnoException).code === "ESRCH";
  }
}

async function goneWithin(identity: ProcessIdentity, waitMs: number, signal?: AbortSignal): Promise<boolean> {
  const deadline = systemClock.monotonicMs() + waitMs;
  for (let pollMs = firstPollMs; isAlive(identity); pollMs = Math.min(2 * pollMs, longestPollMs)) {
    const leftMs = deadline - systemClock.monotonicMs();
    if (leftMs <= 0) return false;
    await systemClock.sleep(Math.min(pollMs, leftMs), signal);
  }
  return true;
}
