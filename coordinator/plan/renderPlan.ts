import { formatCount, formatDuration } from "../observe/format.ts";
import { renderTable } from "../observe/renderStatus.ts";
import { createStyle } from "../observe/style.ts";
import { binaryBytes } from "./binaryBytes.ts";
import type { PlanDocument } from "./planDocument.ts";
import type { ScaleRow } from "./scaleTable.ts";
import type { SimulatedScale } from "./simulateScale.ts";

const nameColumns = "checkpoints  ".length;

/** `coord plan` for people. */
export function renderPlan(document: PlanDocument, color: boolean): string[] {
  const style = createStyle(color);
  const rows = [...workRows(document), ...memoryRows(document), ...trafficRows(document), ...timeRows(document)];
  return [
    style.bold(`Plan for ${document.plan.nodes} × ${document.plan.gpus} workers`),
    ...rows.map(([name, value]) => `  ${style.dim(name.padEnd(nameColumns))}${value}`),
    "",
    ...scaleLines(document.scale),
    ...(document.simulated ? ["", ...simulatedLines(document.simulated)] : []),
    ...document.notes.map((note) => `${style.yellow("note")}  ${note}`),
  ];
}

type Row = readonly [string, string];

function workRows({ data, plan }: PlanDocument): Row[] {
  const held = data.evaluationSize === 0 ? "" : `, ${whole(data.evaluationSize)} held out`;
  const rows: Row[] = [
    ["samples", `${whole(data.trainSize)}${held} (${sourceText(data)})`],
    [
      "steps",
      `${whole(plan.steps)} (${decimal(plan.epochs)} epochs of ${whole(plan.stepsPerEpoch)}), ${whole(plan.globalBatch)} samples each`,
    ],
  ];
  if (plan.tokens !== undefined && data.tokensPerSample !== undefined) {
    const error =
      data.source.kind === "sample" && data.source.standardError > 0 ? ` ± ${decimal(data.source.standardError)}` : "";
    rows.push(["tokens", `${formatCount(plan.tokens)}, ${decimal(data.tokensPerSample)}${error} per sample`]);
  }
  return rows;
}

function sourceText({ source }: PlanDocument["data"]): string {
  switch (source.kind) {
    case "cache":
      return "from the token cache";
    case "sample":
      return `of ${whole(source.rows)} rows; ${whole(source.sampled)} of them tokenized`;
    case "given":
      return "as given";
  }
}

function memoryRows({ limitBytes, model }: PlanDocument): Row[] {
  if (model === undefined) return [];
  const { memory } = model;
  const terms = [
    `${binaryBytes(memory.weights)} weights`,
    `${binaryBytes(memory.trainable)} adapter and gradients`,
    `${binaryBytes(memory.optimizer)} optimizer`,
    `${binaryBytes(memory.activations)} activations`,
    `${binaryBytes(memory.workspace)} workspace`,
  ];
  const rows: Row[] = [
    [
      "model",
      `${formatCount(model.frozenElements)} parameters (${model.dtypes.join(", ")}), ${formatCount(model.trainableElements)} trained`,
    ],
    [
      "memory",
      `${binaryBytes(memory.total)} per worker at micro-batch ${memory.batch} × ${model.sequence} tokens${fits(memory.total, limitBytes)}`,
    ],
    ["", terms.join(" + ")],
  ];
  if (limitBytes !== undefined) {
    const largest = model.largest;
    rows.push([
      "largest",
      largest === undefined
        ? `not even a micro-batch of 1 fits ${binaryBytes(limitBytes)}`
        : `micro-batch ${largest.batch} fits ${binaryBytes(limitBytes)}: ${binaryBytes(largest.total)}`,
    ]);
  }
  return rows;
}

function fits(total: number, limit: number | undefined): string {
  if (limit === undefined) return "";
  return total <= limit ? `, fits ${binaryBytes(limit)}` : `, does not fit ${binaryBytes(limit)}`;
}

function trafficRows({ networkGbps, plan }: PlanDocument): Row[] {
  const { allReduce, checkpoints } = plan;
  const rows: Row[] = [];
  if (allReduce !== undefined) {
    const wire = plan.nodes === 1 ? "on the host itself" : `${seconds(allReduce.seconds)} at ${networkGbps} Gbit/s`;
    const traffic = `${binaryBytes(allReduce.inBytes)} in, ${binaryBytes(allReduce.outBytes)} out`;
    rows.push(["all-reduce", `${traffic} per step at the coordinator: ${wire}`]);
  }
  if (checkpoints !== undefined) {
    const { bytesAtOnce, bytesEach, count, kept } = checkpoints;
    rows.push([
      "checkpoints",
      `${count} of ${binaryBytes(bytesEach)}, ${kept} kept; at most ${binaryBytes(bytesAtOnce)} at once`,
    ]);
  }
  return rows;
}

function timeRows({ plan }: PlanDocument): Row[] {
  const { cost, time } = plan;
  if (time === undefined) return [];
  const evaluation =
    time.evaluationSeconds === 0 ? "" : `, ${formatDuration(time.evaluationSeconds)} of it held-out loss`;
  const rows: Row[] = [
    ["time", `${formatDuration(time.totalSeconds)} at ${seconds(time.stepSeconds)} per step${evaluation}`],
  ];
  if (cost !== undefined) rows.push(["cost", money(cost)]);
  return rows;
}

function simulatedLines(rows: readonly SimulatedScale[]): string[] {
  return renderTable(
    ["nodes", "gpus", "simulated step", "samples/s", "waiting", "goodput"],
    rows.map(({ gpus, nodes, samplesPerSecond, simulation }) => [
      String(nodes),
      String(gpus),
      seconds(simulation.stepSeconds),
      decimal(samplesPerSecond),
      `${Math.round(100 * simulation.waitShare)} %`,
      `${(100 * simulation.goodput).toFixed(1)} %`,
    ]),
  );
}

function scaleLines(rows: readonly ScaleRow[]): string[] {
  const timed = rows.some(({ plan }) => plan.time !== undefined);
  const priced = rows.some(({ plan }) => plan.cost !== undefined);
  const reduced = rows.some(({ plan }) => plan.allReduce !== undefined);
  const headings = ["nodes", "gpus", "batch", "steps"];
  if (reduced) headings.push("all-reduce");
  if (timed) headings.push("step", "time", "speed-up");
  if (priced) headings.push("cost");
  return renderTable(
    headings,
    rows.map(({ plan, speedup }) => {
      const cells = [String(plan.nodes), String(plan.gpus), whole(plan.globalBatch), whole(plan.steps)];
      if (reduced) cells.push(plan.allReduce ? seconds(plan.allReduce.seconds) : "-");
      if (timed && plan.time) {
        cells.push(seconds(plan.time.stepSeconds), formatDuration(plan.time.totalSeconds), `${decimal(speedup ?? 0)}×`);
      }
      if (priced) cells.push(money(plan.cost ?? 0));
      return cells;
    }),
  );
}

function seconds(value: number): string {
  if (value >= 100) return formatDuration(value);
  return value >= 1 || value === 0 ? `${decimal(value)} s` : `${decimal(value * 1000)} ms`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function decimal(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 1 });
}

function money(value: number): string {
  return value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}
