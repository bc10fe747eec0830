import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { claimOutput } from "../../../../coordinator/runs/claimOutput.ts";
import { findRun, listRuns } from "../../../../coordinator/runs/findRun.ts";
import { RunDirectory } from "../../../../coordinator/runs/runDirectory.ts";
import { runConfigSchema } from "../../../../shared/config/schema.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const config = runConfigSchema.parse({});

async function homeWithRuns(): Promise<{ home: string; ids: string[] }> {
  const home = temporaryDirectory();
  const ids: string[] = [];
  for (const hour of [9, 10, 11]) {
    const now = new Date(2026, 10, 20, hour, 0);
    const run = await RunDirectory.create(home, { config, output: join(home, `out-${hour}`), now, random: () => 0 });
    ids.push(run.runId);
  }
  return { home, ids };
}

describe("findRun", () => {
  it("takes the newest run when none is named", async () => {
    const { home, ids } = await homeWithRuns();
    expect((await findRun(home)).runId).toBe(ids[2]);
    expect((await listRuns(home)).map(({ runId }) => runId)).toEqual([...ids].reverse());
  });

  it("finds a run by id, by the start of its id and by its output directory", async () => {
    const { home, ids } = await homeWithRuns();
    expect((await findRun(home, ids[0])).runId).toBe(ids[0]);
    expect((await findRun(home, "20261120-10")).runId).toBe(ids[1]);
    expect((await findRun(home, join(home, "out-9"))).runId).toBe(ids[0]);
    const claimed = join(home, "moved");
    await claimOutput(claimed, { home, runId: ids[1]! });
    symlinkSync(claimed, join(home, "link"));
    expect((await findRun(home, join(home, "link"))).runId).toBe(ids[1]);
  });

  it("lists the runs there are when a name fits none or several", async () => {
    const { home, ids } = await homeWithRuns();
    await expect(findRun(home, "2026")).rejects.toMatchObject({
      code: "RUN_NOT_FOUND",
      message: expect.stringContaining("is the start of 3 runs"),
    });
    await expect(findRun(home, "../runs")).rejects.toThrow(ids[2]);
    await expect(findRun(temporaryDirectory())).rejects.toThrow(/coord launch/);
  });

  it("lists a run with a damaged run.json, and not a directory that is just being made", async () => {
    const { home, ids } = await homeWithRuns();
    mkdirSync(join(home, "runs", "half"));
    writeFileSync(join(home, "runs", ids[2]!, "run.json"), "{");
    const runs = await listRuns(home);
    expect(runs).toHaveLength(3);
    expect(runs.find(({ runId }) => runId === ids[2])?.problem).toContain("run.json is damaged");
    expect((await findRun(home)).runId).toBe(ids[1]);
  });
});
