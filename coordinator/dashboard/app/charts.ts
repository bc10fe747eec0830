import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Mark } from "./api.ts";
import { el, setText } from "./dom.ts";
import { formatCount, formatLoss, formatMs, formatRate } from "./format.ts";
import { align, field, type Series, smoothed } from "./series.ts";

interface Line {
  readonly label: string;
  /** Name of a colour in style.css. */
  readonly color: string;
  readonly steps: readonly number[];
  readonly values: readonly (number | null)[];
  readonly style?: "faint" | "points";
}

interface ChartKind {
  readonly title: string;
  readonly unit: string;
  readonly format: (value: number) => string;
  lines(own: Series, others: readonly Compared[]): Line[];
}

/** A run that is drawn beside the one that is shown. */
export interface Compared {
  readonly run: string;
  readonly series: Series;
  readonly color: string;
}

const height = 220;

const kinds: readonly ChartKind[] = [
  {
    title: "Loss",
    unit: "nats per token",
    format: formatLoss,
    lines: (own, others) => [
      { label: "training", color: "loss-raw", steps: own.steps, values: own.column(field.loss), style: "faint" },
      { label: "smoothed", color: "loss", steps: own.steps, values: smoothed(own.column(field.loss)) },
      ...heldOut(own, "held out", "eval"),
      ...others.flatMap(({ color, run, series }) => [
        { label: run, color, steps: series.steps, values: smoothed(series.column(field.loss)) },
        ...heldOut(series, `${run}, held out`, color),
      ]),
    ],
  },
  single("Learning rate", "", formatRate, field.learningRate, "rate"),
  single("Gradient norm", "L2, before clipping", (value) => value.toPrecision(3), field.gradientNorm, "norm"),
  single("Throughput", "tokens per second", formatCount, field.tokensPerSecond, "tokens"),
  {
    title: "Step time",
    unit: "mean over ranks",
    format: formatMs,
    lines: (own) => [
      { label: "step", color: "loss", steps: own.steps, values: own.column(field.stepMs) },
      { label: "compute", color: "tokens", steps: own.steps, values: own.column(field.computeMs) },
      { label: "reduce", color: "eval", steps: own.steps, values: own.column(field.reduceMs) },
    ],
  },
];

function single(title: string, unit: string, format: ChartKind["format"], index: number, color: string): ChartKind {
  const lines: ChartKind["lines"] = (own, others) => [
    { label: title.toLowerCase(), color, steps: own.steps, values: own.column(index) },
    ...others.map((other) => ({
      label: other.run,
      color: other.color,
      steps: other.series.steps,
      values: other.series.column(index),
    })),
  ];
  return { title, unit, format, lines };
}

function heldOut(series: Series, label: string, color: string): Line[] {
  const points = series.evaluations;
  if (points.length === 0) return [];
  return [
    { label, color, steps: points.map(([step]) => step), values: points.map(([, loss]) => loss), style: "points" },
  ];
}

/** The curves of a run. */
export function createCharts() {
  const charts = kinds.map((kind) => new Chart(kind));
  const element = el("div", { class: "charts" }, ...charts.map(({ element: one }) => one));
  return {
    element,
    draw(own: Series, others: readonly Compared[]) {
      for (const chart of charts) chart.draw(own, others);
    },
    /** Colours have changed. */
    restyle() {
      for (const chart of charts) chart.restyle();
    },
  };
}

class Chart {
  readonly element: HTMLElement;
  readonly #kind: ChartKind;
  readonly #plot = el("div", { class: "plot", tabindex: 0, role: "group", onkeydown: (event) => this.#key(event) });
  readonly #readout = el("p", { class: "readout", "aria-live": "polite" });
  readonly #legend = el("p", { class: "legend" });
  #drawn: uPlot | undefined;
  #shape = "";
  #lines: Line[] = [];
  #marks: readonly Mark[] = [];

  constructor(kind: ChartKind) {
    this.#kind = kind;
    const title = el("h3", {}, kind.title, kind.unit === "" ? undefined : el("small", {}, ` ${kind.unit}`));
    this.element = el(
      "figure",
      { class: "chart" },
      el("figcaption", {}, title),
      this.#plot,
      this.#legend,
      this.#readout,
    );
    new ResizeObserver(() => this.#resize()).observe(this.#plot);
  }

  draw(own: Series, others: readonly Compared[]): void {
    this.#lines = this.#kind.lines(own, others);
    this.#marks = own.marks;
    const { columns, steps } = align(this.#lines);
    const shape = JSON.stringify(this.#lines.map(({ color, label, style }) => [color, label, style]));
    const data = [steps, ...columns] as uPlot.AlignedData;
    if (this.#drawn && shape === this.#shape) this.#drawn.setData(data);
    else this.#build(data);
    this.#shape = shape;
    this.#describe();
  }

  restyle(): void {
    if (this.#drawn) this.#build(this.#drawn.data);
  }

  #build(data: uPlot.AlignedData): void {
    this.#drawn?.destroy();
    const axis = {
      stroke: color("muted"),
      grid: { stroke: color("line"), width: 1 },
      ticks: { stroke: color("line") },
    };
    const format = this.#kind.format;
    const options: uPlot.Options = {
      width: this.#plot.clientWidth || 300,
      height,
      legend: { show: false },
      cursor: { points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { time: false } },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? String(tick) : "")) },
        { ...axis, size: 66, values: (_, ticks) => ticks.map((tick) => format(tick)) },
      ],
      series: [{ label: "step" }, ...this.#lines.map(seriesOf)],
      hooks: { draw: [(plot) => drawMarks(plot, this.#marks)], setCursor: [(plot) => this.#read(plot.cursor.idx)] },
    };
    this.#drawn = new uPlot(options, data, this.#plot);
    this.#legend.replaceChildren(
      ...(this.#lines.length > 1
        ? this.#lines.map(({ color: name, label }) => el("span", { class: `key key-${name}` }, label))
        : []),
    );
  }

  #resize(): void {
    const width = this.#plot.clientWidth;
    if (this.#drawn && width > 0 && width !== this.#drawn.width) this.#drawn.setSize({ width, height });
  }

  /** Arrow keys move the cursor from step to step. */
  #key(event: Event): void {
    const { key } = event as KeyboardEvent;
    const plot = this.#drawn;
    const steps = plot?.data[0];
    if (!plot || !steps || steps.length === 0) return;
    const at = plot.cursor.idx ?? steps.length - 1;
    const stride = Math.max(1, Math.round(steps.length / 100));
    const wanted = { ArrowLeft: at - stride, ArrowRight: at + stride, Home: 0, End: steps.length - 1 }[key];
    if (wanted === undefined) return;
    event.preventDefault();
    const index = Math.min(steps.length - 1, Math.max(0, wanted));
    plot.setCursor({ left: plot.valToPos(steps[index]!, "x"), top: plot.over.clientHeight / 2 });
  }

  #read(index: number | null | undefined): void {
    const data = this.#drawn?.data;
    if (!data || index === null || index === undefined) {
      setText(this.#readout, "");
      return;
    }
    const values = this.#lines.flatMap(({ label }, line) => {
      const value = data[line + 1]?.[index];
      return value === null || value === undefined ? [] : [`${label} ${this.#kind.format(value)}`];
    });
    setText(this.#readout, `step ${data[0][index]}: ${values.join(", ")}`);
  }

  #describe(): void {
    const newest = this.#lines.flatMap(({ label, values }) => {
      const value = values.findLast((one) => one !== null);
      return value === undefined || value === null ? [] : [`${label} ${this.#kind.format(value)}`];
    });
    const said = newest.length === 0 ? "no values yet" : `newest: ${newest.join(", ")}`;
    this.#plot.setAttribute("aria-label", `${this.#kind.title}, ${said}. Arrow keys read values.`);
  }
}

function seriesOf({ color: name, label, style }: Line): uPlot.Series {
  const stroke = color(name);
  const points = style === "points" ? { show: true, size: 7, fill: stroke } : { show: false };
  return { label, stroke, width: style === "faint" ? 1 : 2, spanGaps: true, points };
}

/** Checkpoints along the lower edge, restarts, resumptions and early stops as lines across. */
function drawMarks(plot: uPlot, marks: readonly Mark[]): void {
  const { ctx } = plot;
  const { height: tall, left, top, width } = plot.bbox;
  const unit = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, tall);
  ctx.clip();
  for (const { kind, step } of marks) {
    const x = Math.round(plot.valToPos(step, "x", true));
    if (x < left || x > left + width) continue;
    ctx.fillStyle = ctx.strokeStyle = color(`mark-${kind}`);
    ctx.lineWidth = unit;
    ctx.beginPath();
    if (kind === "checkpoint") {
      const size = 5 * unit;
      ctx.moveTo(x, top + tall - 2 * size);
      ctx.lineTo(x - size, top + tall);
      ctx.lineTo(x + size, top + tall);
      ctx.fill();
    } else {
      ctx.setLineDash(kind === "early-stop" ? [] : [5 * unit, 4 * unit]);
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + tall);
      ctx.stroke();
    }
  }
  ctx.restore();
}

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
