import { formatCount, formatDuration, formatLoss, formatNorm, formatRate } from "./format.ts";
import { sparkline } from "./lossTrail.ts";
import type { RunStateName } from "./runStateName.ts";
import { createStyle, type Style } from "./style.ts";
import { fitWidth, packFields, textWidth } from "./textWidth.ts";
import type { NodeView, ViewModel } from "./viewModel.ts";

export interface RenderOptions {
  /** Width of the terminal. */
  readonly columns: number;
  /** Height of the terminal; without it nodes are not listed. */
  readonly rows?: number | undefined;
  readonly color: boolean;
  /** Wall-clock time, for the countdown of the ETA. */
  readonly nowMs: number;
}

const widestBar = 40;
const narrowestBar = 10;
const widestSparkline = 24;
const narrowestSparkline = 8;
/** Lines of nodes at most, and lines that the terminal keeps for events. */
const [mostNodeLines, eventRows] = [8, 12];

/** The live progress area: lines of at most `columns`, without line breaks. */
export function renderProgress(model: ViewModel, { columns, color, nowMs, rows = 0 }: RenderOptions): string[] {
  const style = createStyle(color);
  // The last column stays empty: many terminals wrap as soon as it is written to.
  const width = Math.max(1, columns - 1);
  return [
    ...headLines(model, width, style),
    ...bodyLines(model, width, style, nowMs),
    ...nodeLines(model, width, style, Math.min(mostNodeLines, rows - eventRows)),
  ];
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
  return [...reason, progressLine(model, width, style), ...figures];
}

/** The bar, and where there is room the way that the loss has gone. */
function progressLine(model: ViewModel, width: number, style: Style): string {
  const bar = barLine(model.step, model.maxSteps, width, style);
  const room = Math.min(widestSparkline, width - textWidth(bar) - 2);
  const line = room < narrowestSparkline ? "" : sparkline(model.losses, room);
  return line === "" ? bar : `${bar}  ${style.cyan(line)}`;
}

/** What the workers of each node are doing; beyond `most` lines, the rest in one. */
function nodeLines({ nodes, state }: ViewModel, width: number, style: Style, most: number): string[] {
  if (most < 1 || state === "finished" || state === "preparing") return [];
  const shown = nodes.length <= most ? nodes : nodes.slice(0, most - 1);
  const rest = nodes.slice(shown.length);
  const lines = shown.map((node) => ({ text: `node ${node.node}${describeNode([node])}`, nodes: [node] }));
  if (rest.length > 0) lines.push({ text: `${rest.length} more nodes${describeNode(rest)}`, nodes: rest });
  return lines.map(({ nodes: own, text }) => {
    const fitted = fitWidth(text, width);
    return own.some(({ states, straggling }) => straggling || states["lost"] || states["starting"])
      ? style.yellow(fitted)
      : style.dim(fitted);
  });
}

function describeNode(nodes: readonly NodeView[]): string {
  const states = new Map<string, number>();
  for (const node of nodes) {
    for (const [state, count] of Object.entries(node.states)) states.set(state, (states.get(state) ?? 0) + count);
  }
  const bytes = nodes.reduce((sum, { residentBytes }) => sum + residentBytes, 0);
  return [
    nodes.length === 1 ? nodes[0]!.host : "",
    [...states].map(([state, count]) => `${count} ${state}`).join(", "),
    bytes === 0 ? "" : `${formatCount(bytes)}B`,
    nodes.some(({ straggling }) => straggling) ? "one keeps the others waiting" : "",
  ]
    .filter((field) => field !== "")
    .map((field) => `  ${field}`)
    .join("");
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
  if (model.gradientNorm !== undefined) fields.push(`grad ${formatNorm(model.gradientNorm)}`);
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
