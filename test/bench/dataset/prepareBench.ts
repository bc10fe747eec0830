// Data preparation against HuggingFace datasets.map with as many processes:
//   npm run build && npx tsc -p test/bench && node dist/test/bench/dataset/prepareBench.js DATA.jsonl MODEL [COPIES] [REPETITIONS]
// COORD_PYTHON names a Python that has transformers and datasets; without one only our side is measured.
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { prepareDataset } from "../../../coordinator/dataset/prepareDataset.ts";
import { runConfigSchema } from "../../../shared/config/schema.ts";

interface Measured {
  readonly samples: number;
  readonly tokens: number;
  readonly labels: number;
  readonly seconds: number;
  /** Of all processors: what a machine that is busy with other things does not change much. */
  readonly cpuSeconds: number;
}

const [data, model, copies = "20", repetitions = "3"] = process.argv.slice(2);
if (data === undefined || model === undefined)
  throw new Error("Usage: prepareBench DATA.jsonl MODEL [COPIES] [REPETITIONS]");
const maxLength = 1024;
const directory = await mkdtemp(join(tmpdir(), "coord-bench-data-"));
try {
  const path = join(directory, "data.jsonl");
  await writeFile(path, (await readFile(data, "utf8")).repeat(Number(copies)));
  for (let repetition = 0; repetition < Number(repetitions); repetition++) {
    // In turn, so that both meet the same load of the machine.
    report("coord", await ours(path));
    const theirs = measureTheirs(path, repetition);
    if (theirs) report("datasets.map", theirs);
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function ours(path: string): Promise<Measured> {
  const cacheDirectory = join(directory, "cache");
  await rm(cacheDirectory, { recursive: true, force: true });
  const start = performance.now();
  const cpu = process.cpuUsage();
  const { summary } = await prepareDataset({
    config: runConfigSchema.parse({ maxLength }),
    modelDirectory: model!,
    data: [path],
    cacheDirectory,
    signal: new AbortController().signal,
    onProgress: () => {},
  });
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const cpuSeconds = (user + system) / 1e6;
  return { samples: summary.trainSize, tokens: summary.tokens, labels: summary.trainLabels, seconds, cpuSeconds };
}

function measureTheirs(path: string, repetition: number): Measured | undefined {
  const python = process.env["COORD_PYTHON"];
  if (python === undefined) return undefined;
  const output = join(directory, `saved-${repetition}`);
  const args = [
    "test/bench/dataset/datasets_map.py",
    path,
    model!,
    output,
    String(availableParallelism()),
    String(maxLength),
  ];
  const text = execFileSync(python, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return JSON.parse(text.trim().split("\n").at(-1)!) as Measured;
}

function report(name: string, { samples, tokens, labels, seconds, cpuSeconds }: Measured): void {
  const rate = Math.round(tokens / seconds).toLocaleString("en-US");
  process.stdout.write(
    `${name.padEnd(14)} ${seconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of processors  ${rate} tokens/s  ${samples} samples, ${tokens} tokens, ${labels} labels\n`,
  );
}
