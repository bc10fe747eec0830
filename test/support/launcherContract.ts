import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { runPaths } from "../../shared/runPaths.ts";
import { type CoordHome, eventually, finalDigests } from "./coord.ts";
import { killEverything, processesOf } from "./killEverything.ts";
import { slowedDown } from "./smallRun.ts";

/** A way to have agents started, ready for use. */
export interface LauncherUnderTest {
  readonly home: CoordHome;
  /** Flags that place two nodes with one worker each. */
  readonly flags: readonly string[];
  /** What coord needs in its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends all that a run has on one of its nodes at once, as a power cut does; the node comes back. */
  loseNode(runId: string): void;
  /** Processes without which nobody is left to look after a run: its coordinator, and what would start it again. */
  launcherOf(runId: string): readonly number[];
  /** What a run has beside processes: jobs, objects. */
  thingsOf?(runId: string): readonly string[];
}

const steps = 16;
/** Milliseconds that a step takes at least. */
const stepMs = 200;

const shared = resolve(process.env["COORD_SHARED_DATA"] ?? join(packageRoot(), "..", "shared", "data"));
const medical = join(shared, "medical_huatuo_1k.jsonl");
const demo = join(packageRoot(), "deploy", "demo");

/** The demo's model on medical dialogues, or on the demo's own rows where these are not at hand. */
const training = [
  ["--model", join(demo, "model"), "--data", existsSync(medical) ? medical : join(demo, "data.jsonl")],
  ["--max-train-samples", "100", "--max-length", "64", "--eval-split", "0", "--per-device-train-batch-size", "2"],
  ["--slots", "2", "--max-steps", String(steps), "--save-steps", "4", "--learning-rate", "0.01"],
  // Other thread counts may sum in another order.
  ["--lora-dropout", "0.1", "--threads-per-worker", "1", "--device", "cpu"],
].flat();

/** What every launcher promises: the bytes of a run on one host, whoever dies on the way, and nothing left behind. */
export function launcherContract(what: string, get: () => LauncherUnderTest): void {
  describe(`${what} as a launcher`, () => {
    let reference: { adapter: string; optimizer: string };
    let runs: string[];
    let number = 0;

    beforeAll(async () => {
      const { home } = get();
      const output = home.path("one-host");
      const result = await home.coord(["launch", ...training, "--gpus", "2", "--output", output]);
      expect(result, result.stderr).toMatchObject({ exitCode: 0 });
      reference = await finalDigests(output, steps);
    });
    beforeEach(() => {
      runs = [];
    });
    afterEach(async () => {
      for (const runId of runs) {
        await get().home.coord(["stop", "--now", runId], get().env);
        await killEverything(runId);
        await get().home.coord(["kill-stale", "--run", runId], get().env);
      }
    });

    /** A run that is slow enough to be met at work. */
    async function launch(): Promise<{ runId: string; output: string }> {
      const { env = {}, flags, home } = get();
      const output = home.path(`contract${++number}`);
      const slow = slowedDown(stepMs);
      // Agents of this host inherit them, those of other hosts are told.
      const told = Object.entries(slow).flatMap(([name, value]) => ["--env", `${name}=${value}`]);
      const runId = await home.launch([...training, ...flags, ...told, "--output", output], { ...env, ...slow });
      runs.push(runId);
      return { runId, output };
    }

    const step = (runId: string, wanted: number) =>
      eventually(
        `step ${wanted}`,
        async () => (await get().home.metrics(runId)).some((line) => (line["step"] ?? 0) >= wanted) || undefined,
        120_000,
      );

    async function expectSameBytes({ output, runId }: { runId: string; output: string }): Promise<void> {
      const { env, home } = get();
      const end = async () => {
        const { exitCode, stderr, stdout } = await home.coord(["status", runId, "--json"], env);
        const state = exitCode === 0 ? (JSON.parse(stdout) as { state: string }).state : stderr;
        if (state === "failed") throw new Error(JSON.stringify(await home.events(runId)));
        return state === "finished" || undefined;
      };
      await eventually("the run's end", end, 180_000);
      expect(await finalDigests(output, steps)).toEqual(reference);
      await nothingLeft(runId);
    }

    const left = (runId: string) => [...processesOf(runId).map(String), ...(get().thingsOf?.(runId) ?? [])];
    const nothingLeft = (runId: string) =>
      eventually("nothing left", async () => left(runId).length === 0 || undefined, 60_000).catch((thrown: unknown) => {
        throw new Error(`${String(thrown)} There is ${left(runId).join(", ")}.`);
      });
    const file = (runId: string, name: "coordinator" | "generation") =>
      readFileSync(runPaths(get().home.home, runId)[name], "utf8");

    it("trains to the bytes of a run on one host and leaves nothing behind", async () => {
      await expectSameBytes(await launch());
    });

    it("replaces a node that is lost, and ends with the same bytes", async () => {
      const run = await launch();
      await step(run.runId, 5);
      const before = Number(file(run.runId, "generation"));
      get().loseNode(run.runId);
      await expectSameBytes(run);
      expect(Number(file(run.runId, "generation"))).toBeGreaterThan(before);
    });

    it("ends with the same bytes when the coordinator is killed", async () => {
      const run = await launch();
      await step(run.runId, 5);
      const { process: killed } = JSON.parse(file(run.runId, "coordinator")) as { process: { pid: number } };
      process.kill(killed.pid, "SIGKILL");
      await expectSameBytes(run);
      expect(JSON.parse(file(run.runId, "coordinator"))).not.toMatchObject({ process: { pid: killed.pid } });
    });

    it("has kill-stale clear away what a murdered launcher has left", async () => {
      const { runId } = await launch();
      await step(runId, 3);
      const murdered = get().launcherOf(runId);
      for (const pid of murdered) process.kill(pid, "SIGKILL");
      await eventually("their end", async () => !processesOf(runId).some((pid) => murdered.includes(pid)) || undefined);
      const orphans = left(runId);
      expect(orphans.length).toBeGreaterThan(0);
      const dry = await get().home.coord(["kill-stale", "--dry-run", "--run", runId], get().env);
      expect(dry.stdout).toMatch(/would (end|delete|cancel)/i);
      expect(left(runId)).toEqual(orphans);
      const cleared = await get().home.coord(["kill-stale", "--run", runId], get().env);
      expect(cleared, cleared.stderr).toMatchObject({ exitCode: 0 });
      await nothingLeft(runId);
    });
  });
}
