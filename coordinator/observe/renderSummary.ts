import { formatCount, formatDateTime, formatDuration, formatLoss } from "./format.ts";
import { parseLogLine } from "./logLine.ts";
import { heldOut, styleState } from "./renderProgress.ts";
import { createStyle, type Style } from "./style.ts";
import type { ViewModel } from "./viewModel.ts";

/** What the summary says beyond the model. */
export interface SummaryOptions {
  readonly color: boolean;
  /** Path of the adapter; absent when the run left none. */
  readonly adapter?: string;
  /** Directory that holds the run's logs. */
  readonly logs: string;
  /** From the run's train_results.json: the share of the time that went into steps that were kept, and seconds that did not. */
  readonly goodput?: { readonly share: number; readonly restartSeconds: number; readonly repeatedSeconds: number };
  /** The time counts from here where the run began earlier; wall-clock milliseconds. */
  readonly sinceMs?: number;
}

/** The last words of an attached view when the run has ended: what came out and what to do next. */
export function renderSummary(model: ViewModel, options: SummaryOptions): string[] {
  const style = createStyle(options.color);
  const rows = summaryRows(model, options).map(([name, value]) => `  ${style.dim(name.padEnd(nameColumns))}${value}`);
  const title = `${styleState(model.state, style)(model.state)}  ${style.bold(`run ${model.runId}`)}`;
  const failure = model.state === "failed" ? renderFailure(model, style, options.logs) : [];
  return [title, ...rows, ...failure];
}

const nameColumns = "checkpoints  ".length;

function summaryRows(model: ViewModel, { adapter, goodput, sinceMs = 0 }: SummaryOptions): [string, string][] {
  const { firstLoss, lastLoss, startedAtMs, newestAtMs } = model;
  const rows: [string, string][] = [["steps", `${model.step} of ${model.maxSteps === 0 ? "?" : model.maxSteps}`]];
  if (firstLoss !== undefined && lastLoss !== undefined) {
    rows.push(["loss", `${formatLoss(firstLoss.loss)} → ${formatLoss(lastLoss.loss)}`]);
  }
  if (model.lastEvaluation !== undefined) {
    rows.push(["held-out", `${heldOut(model)}${change(model)}${best(model)}`]);
    rows.push(["perplexity", Math.exp(model.lastEvaluation.loss).toPrecision(4)]);
  }
  if (model.inputTokens > 0) rows.push(["tokens", `${formatCount(model.inputTokens)}${rate(model)}`]);
  rows.push(["time", formatDuration(((newestAtMs ?? 0) - Math.max(startedAtMs ?? 0, sinceMs)) / 1000)]);
  if (goodput !== undefined) rows.push(["goodput", describeGoodput(goodput)]);
  if (model.checkpointsSeen > 0) rows.push(["checkpoints", `${model.checkpointsSeen}, newest ${model.checkpoint}`]);
  if (adapter !== undefined) rows.push(["adapter", adapter]);
  rows.push(nextCommand(model));
  return rows;
}

function nextCommand({ state, runId }: ViewModel): [string, string] {
  if (state === "finished") return ["inspect", `coord logs ${runId}`];
  return ["continue", `coord resume ${runId}${state === "failed" ? "  (once the cause is gone)" : ""}`];
}

function change({ firstEvaluation, lastEvaluation }: ViewModel): string {
  if (!firstEvaluation || !lastEvaluation || firstEvaluation.step === lastEvaluation.step) return "";
  const percent = (100 * (lastEvaluation.loss - firstEvaluation.loss)) / firstEvaluation.loss;
  return ` (${percent > 0 ? "+" : "−"}${Math.abs(percent).toFixed(1)} %)`;
}

/** Where an earlier step did better: its checkpoint may be the one to take. */
function best({ bestEvaluation, lastEvaluation }: ViewModel): string {
  if (!bestEvaluation || !lastEvaluation || bestEvaluation.loss >= lastEvaluation.loss) return "";
  return `; best ${formatLoss(bestEvaluation.loss)} at step ${bestEvaluation.step}`;
}

function describeGoodput({ repeatedSeconds, restartSeconds, share }: NonNullable<SummaryOptions["goodput"]>): string {
  const losses = [
    ...(restartSeconds > 0 ? [`${formatDuration(restartSeconds)} lost to restarts`] : []),
    ...(repeatedSeconds > 0 ? [`${formatDuration(repeatedSeconds)} to steps that were taken again`] : []),
  ];
  return `${Math.round(100 * share)} % of the time in steps${losses.length > 0 ? `; ${losses.join(", ")}` : ""}`;
}

function rate({ tokensPerSecond }: ViewModel): string {
  return tokensPerSecond === undefined ? "" : ` at ${formatCount(tokensPerSecond)} tokens/s`;
}

/** The root cause of a failure: what, who, the last lines it wrote, and the file with the rest. */
function renderFailure({ failure, reason }: ViewModel, style: Style, logs: string): string[] {
  const lines = ["", `${style.red(style.bold("Root cause (first observed failure):"))} ${failure?.message ?? reason}`];
  if (failure !== undefined) lines.push(`  ${style.dim("time".padEnd(nameColumns))}${formatDateTime(failure.timeMs)}`);
  if (failure?.worker !== undefined) lines.push(`  ${style.dim("worker".padEnd(nameColumns))}${failure.worker}`);
  for (const line of failure?.lastLines?.trimEnd().split("\n") ?? []) {
    lines.push(`  ${style.dim("│")} ${parseLogLine("", line, 0).text}`);
  }
  lines.push(`  ${style.dim("log".padEnd(nameColumns))}${failure?.log ?? logs}`);
  return lines;
}
