import type { RunStatus } from "../../shared/gen/coord/v1/run_pb.ts";
import { describeJob, type SlurmJob } from "../launch/slurm/parseJob.ts";
import { formatCount, formatDuration, formatLoss, formatRate } from "./format.ts";
import { styleState } from "./renderProgress.ts";
import { runStateName } from "./runStateName.ts";
import type { RankTimes } from "./stragglers.ts";
import { createStyle } from "./style.ts";
import { textWidth } from "./textWidth.ts";

/** The document of `coord status --json`. */
export interface StatusDocument {
  readonly run: string;
  readonly state: string;
  readonly reason: string;
  readonly step: number;
  readonly maxSteps: number;
  readonly generation: number;
  readonly worldSize: number;
  readonly output: string;
  readonly checkpoint: string | null;
  readonly adapter: string | null;
  readonly loss: number | null;
  readonly learningRate: number | null;
  readonly tokensPerSecond: number | null;
  readonly etaSeconds: number | null;
  readonly errorCode: string | null;
  readonly exitCode: number | null;
  /** The run's Slurm job; null for a run without one. */
  readonly job: SlurmJob | null;
  readonly workers: readonly {
    readonly rank: number | null;
    readonly node: number;
    readonly localRank: number;
    readonly pid: number | null;
    readonly host: string;
    readonly state: string;
    readonly step: number;
    readonly silentMs: number;
    readonly restarts: number;
    readonly residentBytes: number;
    /** Moving means in milliseconds; null before the first step. */
    readonly times: RankTimes | null;
    /** Why the others wait for it; null when they do not. */
    readonly straggling: string | null;
  }[];
}

export function statusDocument(status: RunStatus): StatusDocument {
  const state = runStateName(status.state);
  const { metrics } = status;
  return {
    run: status.runId,
    state,
    reason: status.reason,
    step: Number(status.step),
    maxSteps: Number(status.maxSteps),
    generation: Number(status.generation),
    worldSize: status.worldSize,
    output: status.output,
    checkpoint: status.checkpoint === "" ? null : status.checkpoint,
    adapter: null,
    loss: metrics?.loss ?? null,
    learningRate: metrics?.learningRate ?? null,
    tokensPerSecond: metrics?.tokensPerSecond ?? null,
    etaSeconds: metrics?.etaSeconds ?? null,
    errorCode: status.errorCode === "" ? null : status.errorCode,
    exitCode: null,
    job: null,
    workers: status.workers.map((worker) => ({
      rank: worker.rank ?? null,
      node: worker.nodeRank,
      localRank: worker.localRank,
      pid: worker.pid === 0 ? null : worker.pid,
      host: worker.host,
      state: worker.state,
      step: Number(worker.step),
      silentMs: Number(worker.silentMs),
      restarts: worker.restarts,
      residentBytes: Number(worker.residentBytes),
      times: worker.times === undefined ? null : timesOf(worker.times),
      straggling: worker.straggling === "" ? null : worker.straggling,
    })),
  };
}

function timesOf({ computeMs, dataMs, reduceMs, updateMs, waitMs }: RankTimes): RankTimes {
  return { dataMs, computeMs, waitMs, reduceMs, updateMs };
}

/** `coord status` for people. */
export function renderStatus(status: StatusDocument, color: boolean): string[] {
  const style = createStyle(color);
  const paint = styleState(status.state as Parameters<typeof styleState>[0], style);
  const lines = [`${paint(status.state)}  ${style.bold(`run ${status.run}`)}`];
  const add = (name: string, value: string) => lines.push(`  ${style.dim(name.padEnd(12))}${value}`);
  if (status.reason !== "") add("why", status.reason);
  add("step", `${status.step}/${status.maxSteps === 0 ? "?" : status.maxSteps}`);
  if (status.loss !== null) add("loss", formatLoss(status.loss));
  if (status.learningRate !== null) add("lr", formatRate(status.learningRate));
  if (status.tokensPerSecond !== null) add("tokens/s", formatCount(status.tokensPerSecond));
  if (status.etaSeconds !== null && status.state === "training") add("ETA", formatDuration(status.etaSeconds));
  add("generation", String(status.generation));
  add("output", status.output);
  if (status.checkpoint !== null) add("checkpoint", status.checkpoint);
  if (status.adapter !== null) add("adapter", status.adapter);
  if (status.job !== null) add("Slurm job", describeJob(status.job));
  if (status.workers.length > 0) lines.push("", ...workerTable(status.workers));
  for (const { rank, straggling } of status.workers) {
    if (straggling !== null) lines.push(style.yellow(`rank ${rank} keeps the others waiting: ${straggling}`));
  }
  return lines;
}

function workerTable(workers: StatusDocument["workers"]): string[] {
  return renderTable(
    ["rank", "node", "pid", "host", "state", "step", "restarts", "memory"],
    workers.map((worker) => [
      worker.rank === null ? "-" : String(worker.rank),
      String(worker.node),
      worker.pid === null ? "-" : String(worker.pid),
      worker.host,
      worker.state,
      String(worker.step),
      String(worker.restarts),
      worker.residentBytes === 0 ? "-" : `${formatCount(worker.residentBytes)}B`,
    ]),
  );
}

/** Rows under headings, columns two blanks apart. */
export function renderTable(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => textWidth(row[column] ?? ""))));
  return all.map((row) =>
    row
      .map((cell, column) => cell + " ".repeat(widths[column]! - textWidth(cell)))
      .join("  ")
      .trimEnd(),
  );
}
