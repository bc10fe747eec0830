import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import { type Summary, summarize } from "../statistics.ts";

const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");

export interface ResumeResult {
  readonly repetitions: number;
  /** From the start of `coord resume` on the demo to its first committed step: loading the model is part of it. */
  readonly firstStepMs: Summary;
}

/** Ends the demo after a checkpoint and continues it, again and again. */
export async function measureResume(repetitions: number, signal: AbortSignal): Promise<ResumeResult> {
  const directory = await mkdtemp(join(tmpdir(), "coord-bench-resume-"));
  const home = join(directory, "home");
  const coord = async (...args: string[]) => {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("COORD_")));
    await execa(process.execPath, [command, ...args], {
      ...{ cwd: directory, env: { ...env, COORD_HOME: home }, extendEnv: false, stdin: "ignore", cancelSignal: signal },
    });
  };
  try {
    const shape = ["--nodes", "1", "--gpus", "1"];
    await coord("launch", ...shape, "--output", join(directory, "out"), "--max-steps", "4");
    const times: number[] = [];
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      const startedAtMs = Date.now();
      await coord("resume", join(directory, "out"), "--max-steps", String(4 + 4 * repetition));
      const [run] = JSON.parse(
        (await execa(process.execPath, [command, "list", "--json"], { env: { COORD_HOME: home } })).stdout,
      ) as { run: string }[];
      const events = (await readFile(join(home, "runs", run!.run, "events.jsonl"), "utf8")).trim().split("\n");
      const first = events
        .map((line) => JSON.parse(line) as { kind: string; timeMs: number })
        .find(({ kind, timeMs }) => kind === "step" && timeMs > startedAtMs)!;
      times.push(first.timeMs - startedAtMs);
    }
    return { repetitions, firstStepMs: summarize(times) };
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  }
}
