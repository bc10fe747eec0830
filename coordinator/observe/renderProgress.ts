import { formatCount, formatDuration, formatLoss, formatRate } from "./format.ts";
import type { RunStateName } from "./runStateName.ts";
import { createStyle, type Style } from "./style.ts";
import { fitWidth, packFields, textWidth } from "./textWidth.ts";
import type { ViewModel } from "./viewModel.ts";

export interface RenderOptions {
  /** Width of the terminal. */
  readonly columns: number;
  readonly color: boolean;
  /** Wall-clock time, for the countdown of the ETA. */
  readonly nowMs: number;
}

const widestBar = 40;
const narrowestBar = 10;

/** The live progress area: lines of at most `columns`, without line breaks. */
export function renderProgress(model: ViewModel, { columns, color, nowMs }: RenderOptions): string[] {
  const style = createStyle(color);
  // The last column stays empty: many terminals wrap as soon as it is written to.
  const width = Math.max(1, columns - 1);
  return [...headLines(model, width, style), ...bodyLines(model, width, style, nowMs)];
}

function headLines(model: ViewModel, width: number, style: Style): string[] {
  const fields = [model.state, `run ${model.runId}`, workersField(model)].filter((field) => field !== "");
  return packFields(fields, width).map((line) =>
    line
      .map((field) => {
        if (field === model.state) return styleState(model.state, style)(field);
        return field.startsWith("workers") && model.workersAlive < model.worldSize ? style.yellow(field) : field;
      })
      .join("  "),
  );
}

function workersField({ workersAlive, worldSize }: ViewModel): string {
  return worldSize === 0 ? "" : `workers ${workersAlive}/${worldSize}`;
}

/** The colour of a state. */
export function styleState(state: RunStateName, style: Style): (text: string) => string {
  switch (state) {
    case "failed":
      return style.red;
    case "finished":
    case "training":
      return style.green;
    case "stopping":
    case "stopped":
    case "forming":
      return style.yellow;
    default:
      return style.cyan;
  }
}

function bodyLines(model: ViewModel, width: number, style: Style, nowMs: number): string[] {
  if (model.state === "preparing" && model.data !== undefined) {
    const { message, done, total } = model.data;
    return [fitWidth(message, width), ...(total === 0 ? [] : [barLine(done, total, width, style)])];
  }
  const reason = model.reason === "" || model.state === "training" ? [] : [style.dim(fitWidth(model.reason, width))];
  if (model.maxSteps === 0) return reason;
  const figures = packFields(figureFields(model, nowMs), width).map((line) => line.join("  "));
  return [...reason, barLine(model.step, model.maxSteps, width, style), ...figures];
}

/** Bar, count and percentage on one line; the bar goes first when room is short. */
function barLine(done: number, total: number, width: number, style: Style): string {
  const share = total === 0 ? 0 : Math.min(1, done / total);
  const tail = `${String(done).padStart(String(total).length)}/${total} ${String(Math.floor(share * 100)).padStart(3)}%`;
  const bar = Math.min(widestBar, width - textWidth(tail) - 2);
  if (bar < narrowestBar) return fitWidth(tail, width);
  const filled = Math.round(share * bar);
  return `${style.green("━".repeat(filled))}${style.dim("─".repeat(bar - filled))}  ${tail}`;
}

function figureFields(model: ViewModel, nowMs: number): string[] {
  const fields: string[] = [];
  if (model.smoothedLoss !== undefined) fields.push(`loss ${formatLoss(model.smoothedLoss)}`);
  if (model.learningRate !== undefined) fields.push(`lr ${formatRate(model.learningRate)}`);
  if (model.tokensPerSecond !== undefined) fields.push(`${formatCount(model.tokensPerSecond)} tokens/s`);
  const eta = etaSeconds(model, nowMs);
  if (eta !== undefined) fields.push(`ETA ${formatDuration(eta)}`);
  if (model.lastEvaluation !== undefined) fields.push(`held-out ${heldOut(model)}`);
  return fields;
}

/** Seconds until the end as of now: the coordinator's estimate less the time since it was made. */
export function etaSeconds(model: ViewModel, nowMs: number): number | undefined {
  if (model.etaSeconds === undefined || (model.state !== "training" && model.state !== "forming")) return undefined;
  const sinceSeconds = model.state === "training" ? Math.max(0, nowMs - (model.metricsAtMs ?? nowMs)) / 1000 : 0;
  return Math.max(0, model.etaSeconds - sinceSeconds);
}

/** "2.5013 → 2.3120", or one value while there is one only. */
export function heldOut({ firstEvaluation, lastEvaluation }: ViewModel): string {
  if (firstEvaluation === undefined || lastEvaluation === undefined) return "";
  const last = formatLoss(lastEvaluation.loss);
  return firstEvaluation.step === lastEvaluation.step ? last : `${formatLoss(firstEvaluation.loss)} → ${last}`;
}
