import type { AllReduceCase, AllReduceResult } from "./allReduce/allReduceBench.ts";
import { renderMemory } from "./engine/renderMemory.ts";
import { renderSpeed } from "./engine/speed/renderSpeed.ts";
import type { Results } from "./results.ts";
import { formatNumber, formatSummary } from "./statistics.ts";
import type { TrainingResult } from "./trainingBench.ts";

const mebibyte = 1024 ** 2;
const gigabyte = 1e9;

/** The results as Markdown, which is what the terminal shows too. */
export function renderResults(results: Results): string {
  const { demo, generated, allReduce, engineMemory, engineSpeed } = results;
  return [
    "# Measurements",
    "",
    ...renderHead(results),
    "Each figure is the median of the repetitions, with the smallest and the largest in parentheses.",
    "",
    ...(demo ? ["## Demo", "", "`coord launch` with the built-in model and data.", "", ...training(demo.cases)] : []),
    ...(generated
      ? [
          "## Generated 0.1 B model",
          "",
          `Llama with ${(generated.parameters / 1e6).toFixed(1)} M parameters (${generated.shape}), random float32 ` +
            `weights; LoRA with ${(generated.trainable / 1e6).toFixed(3)} M parameters; one sequence of ` +
            `${generated.sequenceLength} tokens per worker and step.`,
          "",
          ...training(generated.cases),
        ]
      : []),
    ...(allReduce ? renderAllReduce(allReduce) : []),
    ...(engineSpeed ? [renderSpeed(engineSpeed.results), measuredOn(results)] : []),
    ...(engineMemory ? [renderMemory(engineMemory), measuredOn(results)] : []),
    "## How to repeat",
    "",
    "`npm run bench` runs all of it and prints this page; `npm run bench -- demo` (or `0.1b`, `allreduce`) a part of it,",
    "`engine`, `engine-memory` and `engine-memory-7b` (14 GB of disk) run only when they are named.",
    "`--json` prints one JSON document instead (`npm run --silent bench -- --json`), `--write` updates this page, of a part of",
    "it that part, and `--repetitions N` sets the number of runs. gloo needs a Python with torch, named by `COORD_PYTHON`,",
    "OpenMPI `mpicc` and `mpirun`; without them they are skipped.",
    "",
  ].join("\n");
}

/** When and on what it was measured. */
export function renderHead({ date, machine }: Pick<Results, "date" | "machine">): string[] {
  return [
    `${date.slice(0, 10)} · ${machine.processor}, ${machine.processors} processors, ` +
      `${formatNumber(machine.memoryBytes / 1024 ** 3)} GiB memory · ${machine.system} · Node ${machine.node} · ` +
      `load average before the first measurement ${machine.loadBefore.toFixed(2)}`,
    "",
    ...(machine.loadBefore > machine.processors / 4
      ? [
          "The machine was not idle when the measurement began, so times are longer and scatter more than they would.",
          "",
        ]
      : []),
  ];
}

/** Under a section that is measured by itself, not always with the rest of the page. */
function measuredOn({ date, machine }: Results): string {
  const load = `load average before the first measurement ${machine.loadBefore.toFixed(2)}`;
  return `Measured ${date.slice(0, 10)} · ${machine.processor}, ${machine.processors} processors · Node ${machine.node} · ${load}.\n`;
}

function training(cases: readonly TrainingResult[]): string[] {
  const row = (name: string, cell: (result: TrainingResult) => string) => [name, ...cases.map(cell)];
  return [
    ...table([
      ["", ...cases.map(({ name }) => name)],
      row("runs × steps", ({ runs, steps }) => `${runs} × ${steps}`),
      row("step time, ms", ({ stepMs }) => formatSummary(stepMs)),
      row("of it computing, ms", ({ computeMs }) => formatSummary(computeMs)),
      row("of it all-reduce, ms", ({ reduceMs }) => formatSummary(reduceMs)),
      row("tokens/s", ({ tokensPerSecond }) => formatSummary(tokensPerSecond)),
      row("launch to first step, s", ({ firstStepMs }) => formatSummary(firstStepMs, 1 / 1000)),
      row("launch to end, s", ({ totalMs }) => formatSummary(totalMs, 1 / 1000)),
      row("peak memory, MiB", ({ peakBytes }) => formatSummary(peakBytes.all, 1 / mebibyte)),
      row("– command line", ({ peakBytes }) => formatSummary(peakBytes.cli, 1 / mebibyte)),
      row("– coordinator", ({ peakBytes }) => formatSummary(peakBytes.coordinator, 1 / mebibyte)),
      row("– agents", ({ peakBytes }) => formatSummary(peakBytes.agent, 1 / mebibyte)),
      row("– workers", ({ peakBytes }) => formatSummary(peakBytes.worker, 1 / mebibyte)),
      row("– largest worker", ({ largestWorkerBytes }) => formatSummary(largestWorkerBytes, 1 / mebibyte)),
    ]),
    "",
    "Step, computing and all-reduce time: median over the steps of a run but the first, which includes loading; computing",
    "and all-reduce are means over the workers, and all-reduce includes the wait for the slowest of them. Tokens/s: from the",
    "end of the first step to that of the last, evaluations and checkpoints between them included. Launch to first step: from",
    "the start of the command to the first committed step, with a new `COORD_HOME`, so tokenizing is part of it; the model's",
    "files may be in the page cache. Peak memory: sum of the processes' own peaks (`VmHWM`); pages that processes share count",
    "in each, and the peaks need not fall together.",
    "",
  ];
}

function renderAllReduce({ bandwidth, blocks, cases, loadBefore, mpi, torch }: AllReduceResult): string[] {
  const rival = (comparison: AllReduceCase["gloo"]) =>
    comparison ? [formatSummary(comparison.ms), formatSummary(comparison.ratio)] : ["–", "–"];
  return [
    "## All-reduce",
    "",
    "One round of float32 sums through the coordinator's real services: one coordinator process and one process per worker,",
    "from the first worker's begin to the last one's end: all over gRPC on loopback, also rounded to bfloat16 on the way, and",
    "with the vectors in shared memory (`--data-plane`; runs of one host choose it by themselves). What a shared round tells",
    "the coordinator afterwards, which a step's vote waits for, is not part of the time; in a run the update hides it.",
    "The workers meet before each round, 5 ms after the vote for the one before; gloo's meet, too.",
    "",
    ...table([
      [
        "vector",
        "workers",
        "data plane",
        "coordinator, ms",
        "floor, ms",
        "÷ floor",
        "gloo, ms",
        "÷ gloo",
        "OpenMPI, ms",
        "÷ OpenMPI",
      ],
      ...cases.map((result) => [
        result.size,
        String(result.workers),
        result.format === "bfloat16" ? `${result.dataPlane}, bfloat16` : result.dataPlane,
        formatSummary(result.coordinatorMs),
        formatNumber(result.floorMs),
        formatNumber(result.coordinatorMs.median / result.floorMs),
        ...rival(result.gloo),
        ...rival(result.mpi),
      ]),
    ]),
    "",
    `Load average before: ${loadBefore.toFixed(2)}. Floor over gRPC: W vectors in and W out, of the bytes that travel, at ` +
      `${formatNumber(bandwidth.loopback / gigabyte)} GB/s, what one TCP connection between two Node processes carried over ` +
      "loopback in this run, and W − 1 additions of three vectors' memory traffic at " +
      `${formatNumber(bandwidth.memory / gigabyte)} GB/s, what one process copying 16 MiB reached in this run. Floor in shared ` +
      `memory: W vectors read and one written at that rate. Up to ${blocks} blocks of rounds, fewer of the longest vectors; a ` +
      "figure is over the blocks' medians.",
    "version" in torch
      ? `gloo: torch ${torch.version}, as many processes, the same float32 tensors, over loopback; its blocks and the ` +
        "coordinator's take turns, and the ratio is of neighbouring blocks. gloo's workers exchange among themselves, without " +
        "a coordinator, and it checks no digests."
      : `gloo was SKIPPED: ${torch.skipped}.`,
    "version" in mpi
      ? `OpenMPI: ${mpi.version}, MPI_Allreduce of as many processes of one mpirun (shared memory), in the same turns.`
      : `OpenMPI was SKIPPED: ${mpi.skipped}.`,
    "",
  ];
}

/** A Markdown table: the first row is the head, all columns but the first are numbers. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const [head, ...body] = rows;
  return [line(head!), line(head!.map((_, column) => (column === 0 ? "---" : "---:"))), ...body.map(line)];
}
