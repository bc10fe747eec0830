import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Failpoint } from "../../shared/failpoint.ts";
import { CoordHome, finalDigests } from "../support/coord.ts";
import { processesOf } from "../support/killEverything.ts";
import { smallRun } from "../support/smallRun.ts";

const steps = 6;
const full = process.env["COORD_CHAOS"] === "full";

interface Fault {
  readonly point: Failpoint;
  readonly step: number;
  readonly who: string;
  /** How gradients travel; by default through shared memory, since all workers are on this host. */
  readonly plane?: "grpc";
}

const workerPoints: readonly Failpoint[] = [
  "step-begun",
  "gradient-computed",
  "slots-written",
  "share-summed",
  "sum-downloaded",
  "update-computed",
  "step-committed",
];

/** Everything, or what fits in a few minutes: each point once, spread over workers and steps. */
function faults(): Fault[] {
  const coordinator: Fault[] = [
    { point: "generation-written", step: 0, who: "coordinator" },
    { point: "round-complete", step: 3, who: "coordinator" },
    { point: "commit-decided", step: 3, who: "coordinator" },
    { point: "commit-decided", step: steps, who: "coordinator" },
    { point: "checkpoint-due", step: 4, who: "coordinator" },
    { point: "checkpoint-due", step: steps, who: "coordinator" },
  ];
  const uploading = (["state-uploading", "state-half-uploaded"] as const).flatMap((point) =>
    [4, steps].map((step): Fault => ({ point, step, who: "0/0" })),
  );
  // While the state of step 4 is on its way, each kind of process is lost.
  const saving: Fault[] = [
    { point: "gradient-computed", step: 5, who: "0/0" },
    { point: "gradient-computed", step: 5, who: "1/0" },
    { point: "state-arriving", step: 4, who: "coordinator" },
  ];
  const matrix = workerPoints.flatMap((point, index) =>
    full
      ? [1, 3, steps].flatMap((step) => ["0/0", "0/1", "1/0"].map((who): Fault => ({ point, step, who })))
      : [{ point, step: [1, 3, steps][index % 3]!, who: ["0/0", "1/0", "0/1"][Math.floor(index / 2) % 3]! }],
  );
  const overGrpc: Fault[] = [
    { point: "gradient-uploaded", step: 3, who: "1/0", plane: "grpc" },
    { point: "sum-downloaded", step: 1, who: "0/1", plane: "grpc" },
  ];
  return [...matrix, ...uploading, ...saving, ...coordinator, ...overGrpc];
}

describe("a process that is killed at a named point of a step", () => {
  let home: CoordHome;
  let flags: string[];
  let undisturbed: { adapter: string; optimizer: string };
  const checkpoints = new Map<number, typeof undisturbed>();
  beforeAll(async () => {
    home = await CoordHome.create();
    const shape = ["--nodes", "2", "--gpus", "2", "--max-steps", `${steps}`, "--save-steps", "2"];
    flags = [...(await smallRun(home)), ...shape];
    const result = await home.coord(["launch", ...flags, "--output", home.path("undisturbed")]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    undisturbed = await finalDigests(home.path("undisturbed"), steps);
    for (const due of [2, 4]) checkpoints.set(due, await finalDigests(home.path("undisturbed"), due));
  });
  afterAll(() => home.remove());

  it.each(faults())(
    "$point at step $step in $who: the run ends with the same bytes",
    async ({ plane = "auto", ...fault }) => {
      const { point, step, who } = fault;
      const name = `${point}-${step}-${who.replace("/", "-")}-${plane}`;
      const marker = home.path(`${name}.fired`);
      const output = home.path(name);
      const env = { COORD_FAILPOINT: `${point}@${step}@${who}`, COORD_FAILPOINT_MARKER: marker };
      const launched = await home.coord(["launch", ...flags, "--data-plane", plane, "--output", output], env);
      expect(launched, `${launched.stderr}\n${launched.stdout}`).toMatchObject({ exitCode: 0 });
      expect(existsSync(marker), "the fault has fired").toBe(true);
      expect(await finalDigests(output, steps)).toEqual(undisturbed);
      // No checkpoint is missing, whoever was lost while it was handed over; but for what a coordinator that died was
      // still writing behind training's back.
      for (const [due, digests] of checkpoints) {
        if (who === "coordinator" && due < step) continue;
        expect(await finalDigests(output, due), `step ${due}`).toEqual(digests);
      }

      const run = (await home.json<{ run: string; output: string; state: string }[]>(["list"])).find(
        (entry) => entry.output === output,
      )!;
      expect(run.state).toBe("finished");
      await expectEachStepOnce(join(home.home, "runs", run.run, "metrics.jsonl"));
      expect(processesOf(run.run)).toEqual([]);
    },
  );
});

/** Generations never fall, and every step is there; a step that a dead coordinator had decided may be told twice. */
async function expectEachStepOnce(path: string): Promise<void> {
  const lines = (await readFile(path, "utf8")).trim().split("\n");
  const told = lines.map((line) => JSON.parse(line) as { step: number; learningRate?: number; loss: number });
  const figures = new Map<number, number>();
  for (const { step, learningRate, loss } of told) {
    if (learningRate === undefined) continue;
    expect(figures.get(step) ?? loss).toBe(loss);
    figures.set(step, loss);
  }
  expect([...figures.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: steps }, (_, index) => index + 1));
}
