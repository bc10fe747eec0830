import { axisTicks, type Range } from "./axisTicks.ts";
import type { LossPoint, RunHistory } from "./runHistory.ts";

const width = 900;
const height = 480;
const plot = { left: 72, right: 24, top: 56, bottom: 60 } as const;

/** Points per line at most: more than twice the pixels show nothing more. */
const maxPoints = 1500;

/** Smoothed values remember about this share of the run, at most and at least so many steps. */
const memory = { share: 1 / 30, least: 2, most: 100 } as const;

/** loss_curve.svg: training and held-out loss over steps, with the places where workers were replaced. */
export function lossCurve(history: Pick<RunHistory, "training" | "evaluations" | "restarts">, title: string): string {
  const training = thin(history.training.filter(isFinitePoint));
  const smooth = thin(smoothed(history.training.filter(isFinitePoint)));
  const evaluations = history.evaluations.filter(isFinitePoint);
  const all = [...training, ...evaluations];
  const steps = padded([...all.map(({ step }) => step), 0], 0);
  const losses = padded(
    all.map(({ loss }) => loss),
    0.05,
  );
  const x = (step: number) => plot.left + share(step, steps) * (width - plot.left - plot.right);
  const y = (loss: number) => height - plot.bottom - share(loss, losses) * (height - plot.top - plot.bottom);
  const path = (points: readonly LossPoint[]) =>
    points.map(({ loss, step }) => `${coordinate(x(step))},${coordinate(y(loss))}`).join(" ");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="13">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(plot.left, 28, title, { size: 16, weight: 600 }),
    ...axes(steps, losses, x, y),
    ...history.restarts.map((step) => restartMark(x(step))),
    `<polyline points="${path(training)}" fill="none" stroke="#9ec3e6" stroke-width="1"/>`,
    `<polyline points="${path(smooth)}" fill="none" stroke="#1f6fb4" stroke-width="2" stroke-linejoin="round"/>`,
    ...(evaluations.length > 1
      ? [`<polyline points="${path(evaluations)}" fill="none" stroke="#c8501e" stroke-width="2"/>`]
      : []),
    ...evaluations.map(
      ({ loss, step }) => `<circle cx="${coordinate(x(step))}" cy="${coordinate(y(loss))}" r="3.5" fill="#c8501e"/>`,
    ),
    ...legend(evaluations.length > 0, history.restarts.length > 0),
    "</svg>",
    "",
  ].join("\n");
}

function axes(steps: Range, losses: Range, x: (step: number) => number, y: (loss: number) => number): string[] {
  const bottom = height - plot.bottom;
  return [
    ...axisTicks(losses, 6).flatMap(({ label, value }) => [
      line(plot.left, y(value), width - plot.right, y(value), "#e6e8eb"),
      text(plot.left - 8, y(value) + 4, label, { anchor: "end" }),
    ]),
    ...axisTicks(steps, 8).flatMap(({ label, value }) => [
      line(x(value), bottom, x(value), bottom + 5, "#8a9099"),
      text(x(value), bottom + 20, label, { anchor: "middle" }),
    ]),
    line(plot.left, bottom, width - plot.right, bottom, "#8a9099"),
    line(plot.left, plot.top, plot.left, bottom, "#8a9099"),
    text((plot.left + width - plot.right) / 2, height - 16, "step", { anchor: "middle" }),
    `<g transform="translate(20 ${(plot.top + bottom) / 2}) rotate(-90)">${text(0, 0, "loss (nats per token)", { anchor: "middle" })}</g>`,
  ];
}

function restartMark(x: number): string {
  return line(x, plot.top, x, height - plot.bottom, "#b08900", ' stroke-dasharray="4 4"');
}

function legend(hasEvaluations: boolean, hasRestarts: boolean): string[] {
  const entries = [
    { label: "training", color: "#9ec3e6", width: 92 },
    { label: "training, smoothed", color: "#1f6fb4", width: 166 },
    ...(hasEvaluations ? [{ label: "held out", color: "#c8501e", width: 92 }] : []),
    ...(hasRestarts ? [{ label: "workers replaced", color: "#b08900", width: 150 }] : []),
  ];
  let at = width - plot.right - entries.reduce((total, entry) => total + entry.width, 0);
  return entries.flatMap((entry) => {
    const start = at;
    at += entry.width;
    return [line(start, 44, start + 20, 44, entry.color, ' stroke-width="3"'), text(start + 26, 48, entry.label, {})];
  });
}

/** Exponential moving average without the bias towards its first value (Kingma & Ba 2015, section 3). */
function smoothed(points: readonly LossPoint[]): LossPoint[] {
  const remembered = Math.min(memory.most, Math.max(memory.least, points.length * memory.share));
  const smoothing = 1 - 1 / remembered;
  let mean = 0;
  let weight = 0;
  return points.map(({ loss, step }) => {
    mean = smoothing * mean + (1 - smoothing) * loss;
    weight = smoothing * weight + (1 - smoothing);
    return { step, loss: mean / weight };
  });
}

/** Every n-th point and the last one. */
function thin(points: readonly LossPoint[]): LossPoint[] {
  const every = Math.ceil(points.length / maxPoints);
  return points.filter((_, index) => index % every === 0 || index === points.length - 1);
}

function isFinitePoint({ loss }: LossPoint): boolean {
  return Number.isFinite(loss);
}

/** A little room around the values, so that no line runs along the frame. */
function padded(values: readonly number[], room: number): Range {
  const from = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const to = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  if (!(from <= to)) return { from: 0, to: 1 };
  const pad = (to - from) * room || (from === to ? 0.5 : 0);
  return { from: from - pad, to: to + pad };
}

function share(value: number, { from, to }: Range): number {
  return (value - from) / (to - from);
}

function line(x1: number, y1: number, x2: number, y2: number, color: string, extra = ""): string {
  return `<line x1="${coordinate(x1)}" y1="${coordinate(y1)}" x2="${coordinate(x2)}" y2="${coordinate(y2)}" stroke="${color}"${extra}/>`;
}

function text(
  x: number,
  y: number,
  content: string,
  { anchor = "start", size, weight }: { anchor?: "start" | "middle" | "end"; size?: number; weight?: number },
): string {
  const font = `${size === undefined ? "" : ` font-size="${size}"`}${weight === undefined ? "" : ` font-weight="${weight}"`}`;
  return `<text x="${coordinate(x)}" y="${coordinate(y)}" text-anchor="${anchor}" fill="#24292f"${font}>${escaped(content)}</text>`;
}

function coordinate(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
