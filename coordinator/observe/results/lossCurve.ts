import { axisTicks, type Range } from "./axisTicks.ts";
import type { Picture, Shape, TextShape } from "./chart/shapes.ts";
import type { LossPoint, RunHistory } from "./runHistory.ts";

const width = 900;
const height = 480;
const plot = { left: 72, right: 24, top: 56, bottom: 60 } as const;

/** Points per line at most: more than twice the pixels show nothing more. */
const maxPoints = 1500;

/** Smoothed values remember about this share of the run, at most and at least so many steps. */
const memory = { share: 1 / 30, least: 2, most: 100 } as const;

/** Training and held-out loss over steps, with the places where workers were replaced. */
export function lossPicture(
  history: Pick<RunHistory, "training" | "evaluations" | "restarts">,
  title: string,
): Picture {
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
  const curve = (points: readonly LossPoint[], color: string, thickness: number): Shape[] =>
    points.length < 2
      ? []
      : [
          {
            kind: "path",
            points: points.map(({ loss, step }) => ({ x: x(step), y: y(loss) })),
            color,
            width: thickness,
          },
        ];
  const shapes: Shape[] = [
    { ...text(plot.left, 28, title), heading: true },
    ...axes(steps, losses, x, y),
    ...history.restarts.map((step): Shape => {
      const points = [
        { x: x(step), y: plot.top },
        { x: x(step), y: height - plot.bottom },
      ];
      return { kind: "path", points, color: "#b08900", width: 1, dashed: true };
    }),
    ...curve(training, "#9ec3e6", 1),
    ...curve(smooth, "#1f6fb4", 2),
    ...curve(evaluations, "#c8501e", 2),
    ...evaluations.map(({ loss, step }): Shape => {
      return { kind: "dot", at: { x: x(step), y: y(loss) }, radius: 3.5, color: "#c8501e" };
    }),
    ...legend(evaluations.length > 0, history.restarts.length > 0),
  ];
  return { width, height, title, shapes };
}

function axes(steps: Range, losses: Range, x: (step: number) => number, y: (loss: number) => number): Shape[] {
  const bottom = height - plot.bottom;
  const middle = { x: (plot.left + width - plot.right) / 2, y: (plot.top + bottom) / 2 };
  return [
    ...axisTicks(losses, 6).flatMap(({ label, value }) => [
      line(plot.left, y(value), width - plot.right, y(value), "#e6e8eb"),
      text(plot.left - 8, y(value) + 4, label, "end"),
    ]),
    ...axisTicks(steps, 8).flatMap(({ label, value }) => [
      line(x(value), bottom, x(value), bottom + 5, "#8a9099"),
      text(x(value), bottom + 20, label, "middle"),
    ]),
    line(plot.left, bottom, width - plot.right, bottom, "#8a9099"),
    line(plot.left, plot.top, plot.left, bottom, "#8a9099"),
    text(middle.x, height - 16, "step", "middle"),
    { ...text(20, middle.y, "loss (nats per token)", "middle"), upright: true },
  ];
}

function legend(hasEvaluations: boolean, hasRestarts: boolean): Shape[] {
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
    return [line(start, 44, start + 20, 44, entry.color, 3), text(start + 26, 48, entry.label)];
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

function line(x1: number, y1: number, x2: number, y2: number, color: string, thickness = 1): Shape {
  const points = [
    { x: x1, y: y1 },
    { x: x2, y: y2 },
  ];
  return { kind: "path", points, color, width: thickness };
}

function text(x: number, y: number, content: string, anchor: TextShape["anchor"] = "start"): TextShape {
  return { kind: "text", at: { x, y }, text: content, anchor };
}
