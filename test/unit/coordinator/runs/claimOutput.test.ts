import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { claimOutput, readClaim, releaseOutput } from "../../../../coordinator/runs/claimOutput.ts";
import { RunDirectory } from "../../../../coordinator/runs/runDirectory.ts";
import { runConfigSchema } from "../../../../shared/config/schema.ts";
import { ownIdentity } from "../../../../shared/process/identity.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const config = runConfigSchema.parse({});

describe("claimOutput", () => {
  it("makes the directory and marks it as the run's, any number of times", async () => {
    const home = temporaryDirectory();
    const output = join(home, "a", "out");
    await claimOutput(output, { home, runId: "run-a" });
    await claimOutput(output, { home, runId: "run-a" });
    expect(await readClaim(output)).toMatchObject({ runId: "run-a", home });
    expect(readdirSync(output)).toEqual([".coord-run.json"]);
  });

  it("refuses a directory with another run's checkpoints, and says how to go on", async () => {
    const home = temporaryDirectory();
    const output = join(home, "out");
    await claimOutput(output, { home, runId: "run-a" });
    mkdirSync(join(output, "checkpoint-10"));
    await expect(claimOutput(output, { home, runId: "run-b" })).rejects.toMatchObject({
      code: "OUTPUT_IN_USE",
      message: expect.stringMatching(/checkpoint-10 of run run-a; .*coord resume run-a.* another --output/),
    });
    expect(await readClaim(output)).toMatchObject({ runId: "run-a" });
  });

  it("refuses the directory of a run that has just started, and gives it away when that has died with nothing", async () => {
    const home = temporaryDirectory();
    const output = join(home, "out");
    const first = await RunDirectory.create(home, { config, output });
    await claimOutput(output, first);
    await expect(claimOutput(output, { home, runId: "run-b" })).rejects.toThrow(/which is going on/);
    await first.writeCoordinator({ address: "127.0.0.1:1", process: { ...ownIdentity(), startTime: "1" } });
    await claimOutput(output, { home, runId: "run-b" });
    expect(await readClaim(output)).toMatchObject({ runId: "run-b" });
  });

  it("gives a directory to one of many runs that start together", async () => {
    const home = temporaryDirectory();
    const output = join(home, "out");
    const runs = await Promise.all(Array.from({ length: 6 }, () => RunDirectory.create(home, { config, output })));
    const claims = await Promise.allSettled(runs.map((run) => claimOutput(output, run)));
    expect(claims.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  it("refuses a file in place of a directory", async () => {
    const home = temporaryDirectory();
    writeFileSync(join(home, "out"), "");
    await expect(claimOutput(join(home, "out"), { home, runId: "run-a" })).rejects.toThrow(
      /--output must be a directory/,
    );
  });
});

describe("releaseOutput", () => {
  it("removes the directories that were made for the run, and no other", async () => {
    const home = temporaryDirectory();
    mkdirSync(join(home, "given"));
    const output = join(home, "given", "a", "out");
    await claimOutput(output, { home, runId: "run-a" });
    await claimOutput(output, { home, runId: "run-a" });
    await releaseOutput(output, { runId: "run-a" });
    expect(readdirSync(home)).toEqual(["given"]);
    expect(readdirSync(join(home, "given"))).toEqual([]);
  });

  it("leaves a directory that was there before, without the claim", async () => {
    const home = temporaryDirectory();
    await claimOutput(home, { home, runId: "run-a" });
    await releaseOutput(home, { runId: "run-a" });
    expect(existsSync(home)).toBe(true);
    expect(readdirSync(home)).toEqual([]);
  });

  it("keeps everything where there are results, other files or another run's claim", async () => {
    const home = temporaryDirectory();
    const output = join(home, "out");
    await claimOutput(output, { home, runId: "run-a" });
    await releaseOutput(output, { runId: "run-b" });
    expect(await readClaim(output)).toMatchObject({ runId: "run-a" });
    mkdirSync(join(output, "checkpoint-1"));
    await releaseOutput(output, { runId: "run-a" });
    expect(readdirSync(output).sort()).toEqual([".coord-run.json", "checkpoint-1"]);

    const notes = join(home, "notes");
    await claimOutput(notes, { home, runId: "run-a" });
    writeFileSync(join(notes, "note.txt"), "mine");
    await releaseOutput(notes, { runId: "run-a" });
    expect(readdirSync(notes)).toEqual(["note.txt"]);
    await releaseOutput(join(home, "nowhere"), { runId: "run-a" });
  });
});
