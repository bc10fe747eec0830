import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import { describeMachine } from "../machine.ts";
import { summarize } from "../statistics.ts";
import type { DatasetCase, DatasetResults, DatasetSide, Prepared } from "./datasetResults.ts";
import { variedRows } from "./variedRows.ts";

const maxLength = 1024;
const vocabulary = 16_000;
const fileName = "medical_huatuo_1k.jsonl";
const copies = [1, 20];

interface Timed extends Prepared {
  readonly wholeSeconds: number;
}

/**
 * Times the preparation of a data set, from rows to saved samples, beside `datasets.map` with as many processes: the same
 * rows, tokenizer, template, label mask and length, in turn, each in a process of its own.
 */
export async function measureDataset(
  repetitions: number,
  signal: AbortSignal,
  progress: (line: string) => void,
): Promise<DatasetResults> {
  const python = process.env["COORD_PYTHON"] ?? "python3";
  const machine = describeMachine();
  const versions = await versionsOf(python, signal);
  if (versions === undefined) progress(`SKIPPED datasets.map: ${python} has no datasets and transformers`);
  const shared = process.env["COORD_SHARED_DATA"] ?? join(packageRoot(), "..", "shared", "data");
  const text = await readFile(join(shared, fileName), "utf8");
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-data-"));
  try {
    let model = join(packageRoot(), "deploy", "demo", "model");
    if (versions !== undefined) {
      model = join(directory, "model");
      const args = [script("make_tokenizer.py"), join(shared, fileName), model, String(vocabulary)];
      await execa(python, args, { cancelSignal: signal });
    }
    const cases: DatasetCase[] = [];
    for (const count of copies) {
      const path = join(directory, `rows-${count}.jsonl`);
      await writeFile(path, variedRows(text, count));
      const name = count === 1 ? "1,000 rows" : `${(count * 1000).toLocaleString("en-US")} rows, varied`;
      const jobs = { path, model, directory, python: versions === undefined ? undefined : python };
      cases.push(await measureCase(name, jobs, repetitions, signal, progress));
    }
    return {
      date: new Date().toISOString(),
      machine,
      repetitions,
      maxLength,
      processes: availableParallelism(),
      theirs: versions ?? "not measured: no Python with datasets and transformers",
      tokenizer:
        versions === undefined
          ? "the demo's tokenizer"
          : `a byte-level BPE tokenizer of ${vocabulary.toLocaleString("en-US")} tokens with Llama 3's pre-tokenizer and template`,
      cases,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface Jobs {
  readonly path: string;
  readonly model: string;
  readonly directory: string;
  readonly python: string | undefined;
}

async function measureCase(
  name: string,
  jobs: Jobs,
  repetitions: number,
  signal: AbortSignal,
  progress: (line: string) => void,
): Promise<DatasetCase> {
  const ours: Timed[] = [];
  const theirs: Timed[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    progress(`data set, ${name}: ${repetition + 1} of ${repetitions}`);
    // In turn, so that both meet the same load of the machine; and each goes first as often.
    const order = repetition % 2 === 0 ? [ours, theirs] : [theirs, ours];
    for (const side of order) {
      if (side === theirs && jobs.python === undefined) continue;
      side.push(await runOnce(jobs, side === theirs, signal));
    }
  }
  const [first, other] = [ours[0]!, theirs[0]];
  for (const figure of ["samples", "tokens", "labels"] as const) {
    if (other && other[figure] !== first[figure]) {
      throw new Error(`${name}: coord made ${first[figure]} ${figure}, datasets.map ${other[figure]}.`);
    }
  }
  const ratio = (figure: "seconds" | "wholeSeconds" | "cpuSeconds") =>
    summarize(ours.map((one, index) => theirs[index]![figure] / one[figure]));
  return {
    name,
    bytes: (await stat(jobs.path)).size,
    samples: first.samples,
    tokens: first.tokens,
    labels: first.labels,
    coord: summarizeSide(ours),
    ...(other && {
      theirs: summarizeSide(theirs),
      ratio: { seconds: ratio("seconds"), wholeSeconds: ratio("wholeSeconds"), cpuSeconds: ratio("cpuSeconds") },
    }),
  };
}

function summarizeSide(runs: readonly Timed[]): DatasetSide {
  const of = (figure: "seconds" | "wholeSeconds" | "cpuSeconds" | "peakBytes") =>
    summarize(runs.map((run) => run[figure]));
  return {
    seconds: of("seconds"),
    cpuSeconds: of("cpuSeconds"),
    wholeSeconds: of("wholeSeconds"),
    peakBytes: of("peakBytes"),
  };
}

async function runOnce({ directory, model, path, python }: Jobs, theirs: boolean, signal: AbortSignal): Promise<Timed> {
  const output = join(directory, "output");
  await mkdir(output);
  try {
    const [command, ...args] = theirs
      ? [python!, script("datasets_map.py"), path, model, join(output, "saved"), String(availableParallelism())]
      : [process.execPath, fileURLToPath(new URL("./prepareProcess.js", import.meta.url)), path, model, output];
    const start = performance.now();
    const { stdout } = await execa(command!, [...args, String(maxLength)], { cancelSignal: signal });
    const wholeSeconds = (performance.now() - start) / 1000;
    return { ...(JSON.parse(stdout.trim().split("\n").at(-1)!) as Prepared), wholeSeconds };
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

async function versionsOf(python: string, signal: AbortSignal): Promise<string | undefined> {
  const names = ["datasets", "tokenizers", "transformers"];
  const code = `import ${names.join(", ")}; print(", ".join(f"{m.__name__} {m.__version__}" for m in (${names.join(", ")})))`;
  const found = await execa(python, ["-c", code], { cancelSignal: signal, reject: false });
  return found.exitCode === 0 ? found.stdout.trim().split("\n").at(-1) : undefined;
}

function script(name: string): string {
  return join(packageRoot(), "test", "bench", "dataset", name);
}
