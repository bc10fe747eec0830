import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, finalDigests } from "../support/coord.ts";
import { killEverything } from "../support/killEverything.ts";
import { smallRun } from "../support/smallRun.ts";

const steps = 12;
const seed = process.env["COORD_CHAOS_SEED"] ?? String(Math.floor(Math.random() * 1e9));

describe(`calls that are sent late or twice and answers that are lost, 30 % of each (COORD_CHAOS_SEED=${seed})`, () => {
  let home: CoordHome;
  let flags: string[];
  let undisturbed: { adapter: string; optimizer: string };
  const runs: string[] = [];

  beforeAll(async () => {
    home = await CoordHome.create();
    const shape = ["--nodes", "2", "--gpus", "2", "--max-steps", `${steps}`, "--save-steps", "4", "--eval-steps", "4"];
    flags = [...(await smallRun(home)), ...shape];
    const result = await home.coord(["launch", ...flags, "--output", home.path("undisturbed")]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    undisturbed = await finalDigests(home.path("undisturbed"), steps);
  });
  afterAll(async () => {
    for (const run of runs) await killEverything(run);
    await home?.remove();
  });

  async function train(plane: string, rate: number): Promise<{ faults: Map<string, number>; generation: number }> {
    const output = home.path(plane);
    const log = home.path(`${plane}.faults`);
    const env = { COORD_CALL_FAULTS: `${seed}@${rate}`, COORD_CALL_FAULTS_LOG: log };
    const run = await home.launch([...flags, "--data-plane", plane, "--output", output], env);
    runs.push(run);
    const attached = await home.coord(["attach", run]);
    expect(attached, JSON.stringify(await home.events(run))).toMatchObject({ exitCode: 0 });
    expect(await finalDigests(output, steps)).toEqual(undisturbed);
    const told = (await home.metrics(run)).filter((line) => line["learningRate"] !== undefined);
    expect(told.map((line) => line["step"])).toEqual(Array.from({ length: steps }, (_, index) => index + 1));
    const faults = new Map<string, number>();
    for (const line of (await readFile(log, "utf8")).trim().split("\n")) faults.set(line, (faults.get(line) ?? 0) + 1);
    return { faults, generation: Number(await readFile(join(home.home, "runs", run, "generation"), "utf8")) };
  }

  it("change no byte of a run over gRPC: each gradient is counted once, each step is committed once", async () => {
    const { faults } = await train("grpc", 0.3);
    // Methods that are called in every step; of the others some fault in some run.
    for (const method of ["CollectiveService.contribute", "CollectiveService.fetch", "MembershipService.commitStep"]) {
      for (const kind of ["late", "twice", "replyLost"]) {
        expect(faults.get(`${upperFirst(method)} ${kind}`), `${method} ${kind}`).toBeGreaterThan(0);
      }
    }
  });

  it("change no byte of a run in shared memory, where a lost answer of the referee costs a generation", async () => {
    const { faults, generation } = await train("auto", 0.1);
    expect(faults.get("CollectiveService.Reduce replyLost")).toBeGreaterThan(0);
    expect(generation).toBeGreaterThan(1);
  });
});

/** "Service.Method", as the log has it. */
function upperFirst(path: string): string {
  return path.replace(/\.(\w)/, (_, letter: string) => `.${letter.toUpperCase()}`);
}
