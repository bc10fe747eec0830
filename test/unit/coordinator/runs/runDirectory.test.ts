import { existsSync, statSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { RunDirectory } from "../../../../coordinator/runs/runDirectory.ts";
import type { ResultFile } from "../../../../coordinator/runs/runFiles.ts";
import { runLiveness } from "../../../../coordinator/runs/runLiveness.ts";
import { acquireRunLock } from "../../../../coordinator/runs/runLock.ts";
import { runConfigSchema } from "../../../../shared/config/schema.ts";
import { ownIdentity } from "../../../../shared/process/identity.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const config = runConfigSchema.parse({});
const mode = (path: string) => statSync(path).mode & 0o777;
const result: ResultFile = {
  state: "finished",
  exitCode: 0,
  errorCode: "",
  message: "All steps are done.",
  step: 10,
  maxSteps: 10,
  output: "/out",
  checkpoint: "/out/checkpoint-10",
  adapter: "/out",
};

describe("RunDirectory", () => {
  it("is made for its owner alone, with a token and the settings", async () => {
    const home = join(temporaryDirectory(), "home");
    const run = await RunDirectory.create(home, { config, output: "out" });
    expect([mode(run.paths.root), mode(run.paths.processes), mode(run.paths.logs)]).toEqual([0o700, 0o700, 0o700]);
    expect([mode(run.paths.token), mode(run.paths.run)]).toEqual([0o600, 0o600]);
    expect((await readFile(run.paths.token, "utf8")).trim()).toMatch(/^[\w-]{43}$/);
    expect(await run.readRun()).toEqual({
      runId: run.runId,
      createdAtMs: expect.any(Number),
      config,
      output: join(process.cwd(), "out"),
    });
  });

  it("gets another id when two runs draw the same at the same moment", async () => {
    const home = temporaryDirectory();
    const now = new Date(2026, 10, 20, 21, 54);
    const launches = Array.from({ length: 10 }, () => {
      let draws = 0;
      // The same first nine ids for everybody.
      const random = () => Math.floor(draws++ / 4) / 27;
      return RunDirectory.create(home, { config, output: "out", now, random });
    });
    const ids = (await Promise.all(launches)).map(({ runId }) => runId);
    expect(new Set(ids).size).toBe(10);
    expect(ids).toContain("20261120-2154-2222");
  });

  it("says which file is damaged", async () => {
    const run = await RunDirectory.create(temporaryDirectory(), { config, output: "out" });
    writeFileSync(run.paths.result, '{"state":"finished"');
    await expect(run.readResult()).rejects.toThrow(/result\.json is damaged/);
  });

  it("goes from starting to live to ended, and back when it is opened again", async () => {
    const run = await RunDirectory.create(temporaryDirectory(), { config, output: "out" });
    expect(await runLiveness(run)).toBe("starting");
    const lock = await acquireRunLock(run);
    expect(await runLiveness(run)).toBe("starting");
    await run.writeCoordinator({ address: "127.0.0.1:29500", process: ownIdentity() });
    // This process was not started with COORD_RUN_ID, so the record is not believed.
    expect(await runLiveness(run)).toBe("starting");
    await run.writeResult(result);
    expect(await run.readResult()).toEqual(result);
    expect(await runLiveness(run)).toBe("ended");
    await run.reopen();
    expect(existsSync(run.paths.result) || existsSync(run.paths.coordinator)).toBe(false);
    expect(await runLiveness(run)).toBe("starting");
    await lock.release();
  });

  it("is dead when its coordinator is gone without a result", async () => {
    const run = await RunDirectory.create(temporaryDirectory(), { config, output: "out" });
    await run.writeCoordinator({ address: "127.0.0.1:29500", process: { ...ownIdentity(), startTime: "1" } });
    expect(await runLiveness(run)).toBe("dead");
  });
});

describe("acquireRunLock", () => {
  it("lets one coordinator in and tells the others whose the run is", async () => {
    const run = await RunDirectory.create(temporaryDirectory(), { config, output: "out" });
    const attempts = await Promise.allSettled(Array.from({ length: 8 }, () => acquireRunLock(run)));
    const losers = attempts.flatMap((attempt) => (attempt.status === "rejected" ? [attempt.reason] : []));
    expect(losers).toHaveLength(7);
    for (const loser of losers) {
      expect(loser).toMatchObject({
        code: "RUN_IN_USE",
        message: expect.stringContaining(`process ${process.pid} on`),
      });
    }
  });
});
