// Runs the benches: npm run bench -- [demo] [0.1b] [allreduce] [plan] [watching] [workers] [checkpoint] [engine-memory]
// [engine-memory-7b] [engine] [dataset] [launch] [--json] [--write] [--repetitions N]
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { measureAllReduce } from "./allReduce/allReduceBench.ts";
import { measureCheckpoints } from "./checkpoint/checkpointBench.ts";
import { renderCheckpoints } from "./checkpoint/renderCheckpoints.ts";
import { measureDataset } from "./dataset/datasetBench.ts";
import { renderDataset } from "./dataset/renderDataset.ts";
import { demoCases } from "./demo.ts";
import { type MemoryModel, measureEngineMemory } from "./engine/engineMemory.ts";
import { memoryModels, sevenBillion } from "./engine/memoryModels.ts";
import { measureEngineSpeed } from "./engine/speed/engineSpeed.ts";
import { modelSize, sequenceLength, withGeneratedModel } from "./generatedModel.ts";
import { measureLaunch } from "./launch/launchBench.ts";
import { renderLaunch } from "./launch/renderLaunch.ts";
import { describeMachine } from "./machine.ts";
import { measureWatching, measureWorkers, renderWatching, renderWorkers } from "./operations/operationsBench.ts";
import { measurePlan, renderPlanResults } from "./planBench.ts";
import { renderHead, renderResults } from "./renderResults.ts";
import type { Results } from "./results.ts";
import { mergePages } from "./sections.ts";
import { measureTraining } from "./trainingBench.ts";

const names = ["demo", "0.1b", "allreduce"] as const;
/** Each has a page of its own, test/bench/operations/NAME.md, and runs when it is named. */
const paged = ["plan", "watching", "workers", "checkpoint", "launch"] as const;
const titles: Readonly<Record<(typeof paged)[number], string>> = {
  plan: "Predictions of `coord plan` against runs",
  watching: "What watching costs a training",
  launch: "How long a launch takes",
  workers: "What many workers cost a coordinator",
  checkpoint: "What a checkpoint costs",
};
/** Run when they are named; some take gigabytes, engine-memory-7b 14 of disk. */
const onRequest = ["engine-memory", "engine-memory-7b", "engine", "dataset"] as const;
type Name = (typeof names)[number];

const { repetitions, requested, selected, json, write } = readArguments();
const interrupted = new AbortController();
// Not once: execa's own handler ends the process when it finds no other listener.
process.on("SIGINT", () => interrupted.abort(new Error("Interrupted.")));

for (const name of paged) if (requested(name)) await measurePage(name, interrupted.signal);
const others = [...names, ...onRequest];
if (paged.some((name) => requested(name)) && !others.some((name) => requested(name))) process.exit(0);

const results = await measure(interrupted.signal);
const dataset = requested("dataset") ? await measureDataset(repetitions, interrupted.signal, progress) : undefined;
const page = renderResults(results);
const datasetPage = dataset && renderDataset(dataset);
const benches = join(packageRoot(), "test", "bench");
if (write) {
  const path = join(benches, "RESULTS.md");
  await writeFile(path, mergePages(await readFile(path, "utf8"), page, names.every(selected)));
}
if (write && datasetPage) await writeFile(join(benches, "dataset", "RESULTS.md"), datasetPage);
const document = { ...results, ...(dataset && { dataset }) };
process.stdout.write(
  json ? `${JSON.stringify(document, undefined, 2)}\n` : [page, ...(datasetPage ? [datasetPage] : [])].join("\n"),
);

function memoryModelsWanted(): MemoryModel[] {
  return [...(requested("engine-memory") ? memoryModels : []), ...(requested("engine-memory-7b") ? sevenBillion : [])];
}

async function measurePage(name: (typeof paged)[number], signal: AbortSignal): Promise<void> {
  const head = { date: new Date().toISOString(), machine: describeMachine() };
  const { body, figures } = await measureOne(name, signal);
  const repeat = `\`npm run bench -- ${name}\` measures this again, \`--write\` updates this page.`;
  const text = [`# ${titles[name]}`, "", ...renderHead(head), ...body, repeat, ""].join("\n");
  if (write) await writeFile(join(packageRoot(), "test", "bench", "operations", `${name}.md`), text);
  process.stdout.write(json ? `${JSON.stringify({ ...head, figures }, undefined, 2)}\n` : text);
}

async function measureOne(name: (typeof paged)[number], signal: AbortSignal) {
  switch (name) {
    case "plan": {
      const figures = await measurePlan(signal, progress);
      return { figures, body: renderPlanResults(figures) };
    }
    case "watching": {
      const figures = await measureWatching(signal, progress);
      return { figures, body: renderWatching(figures) };
    }
    case "launch": {
      const figures = await measureLaunch(repetitions, signal, progress);
      return { figures, body: renderLaunch(figures) };
    }
    case "workers": {
      const figures = await measureWorkers(signal, progress);
      return { figures, body: renderWorkers(figures) };
    }
    case "checkpoint": {
      const figures = await measureCheckpoints(2 * repetitions, signal, progress);
      return { figures, body: renderCheckpoints(figures) };
    }
  }
}

async function measure(signal: AbortSignal): Promise<Results> {
  const head = { date: new Date().toISOString(), machine: describeMachine() };
  const demo = selected("demo")
    ? { cases: await measureTraining(demoCases, repetitions, signal, (line) => progress(`demo, ${line}`)) }
    : undefined;
  const generated = selected("0.1b")
    ? {
        ...modelSize(),
        sequenceLength,
        cases: await withGeneratedModel((cases) =>
          measureTraining(cases, repetitions, signal, (line) => progress(`0.1 B, ${line}`)),
        ),
      }
    : undefined;
  // A block of rounds is shorter than a run, so there can be more of them.
  const allReduce = selected("allreduce") ? await measureAllReduce(repetitions * 3, signal, progress) : undefined;
  const engineMemory = await measureEngineMemory(memoryModelsWanted(), signal, progress);
  const speed = requested("engine") ? { results: await measureEngineSpeed(signal, progress) } : undefined;
  return {
    ...head,
    ...(demo && { demo }),
    ...(generated && { generated }),
    ...(allReduce && { allReduce }),
    ...(engineMemory.length > 0 && { engineMemory }),
    ...(speed && { engineSpeed: speed }),
  };
}

function readArguments() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
      repetitions: { type: "string", default: "3" },
    },
  });
  const all = [...names, ...paged, ...onRequest];
  const unknown = positionals.find((name) => !all.some((known) => known === name));
  if (unknown !== undefined) usage(`There is no bench ${unknown}; there are ${all.join(", ")}.`);
  const requested = (name: (typeof all)[number]) => positionals.includes(name);
  const selected = (name: Name) => positionals.length === 0 || positionals.includes(name);
  const repetitions = Number(values.repetitions);
  if (!Number.isInteger(repetitions) || repetitions < 1) usage("--repetitions must be a whole number from 1.");
  return { repetitions, requested, selected, json: values.json, write: values.write };
}

function usage(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

/** Standard output is for the results alone. */
function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}
