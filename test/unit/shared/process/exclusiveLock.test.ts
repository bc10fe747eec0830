import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { acquireLock, type HeldLock, readLock } from "../../../../shared/process/exclusiveLock.ts";
import { ownIdentity, type ProcessIdentity } from "../../../../shared/process/identity.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const dead: ProcessIdentity = { ...ownIdentity(), startTime: "1" };
const elsewhere: ProcessIdentity = { ...ownIdentity(), bootId: "another boot" };

function forge(path: string, process: ProcessIdentity): void {
  writeFileSync(path, JSON.stringify({ runId: "forged", host: "far", process }));
}

async function contend(path: string, contenders: number): Promise<HeldLock[]> {
  const outcomes = await Promise.all(Array.from({ length: contenders }, () => acquireLock(path, "run")));
  return outcomes.filter((outcome) => "release" in outcome);
}

describe("acquireLock", () => {
  it("gives the lock to one of many at the same moment, and to the next after its release", async () => {
    const path = join(temporaryDirectory(), "deep", "lock");
    const [first, ...others] = await contend(path, 20);
    expect(others).toEqual([]);
    expect(await acquireLock(path, "late")).toMatchObject({ holder: { runId: "run", process: { pid: process.pid } } });
    await first!.release();
    const [second] = await contend(path, 1);
    await second!.release();
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });

  it("is taken over from a dead holder by one of many, and the dead holder's file goes", async () => {
    const directory = temporaryDirectory();
    const path = join(directory, "lock");
    forge(`${path}.7`, dead);
    const [winner, ...others] = await contend(path, 20);
    expect(others).toEqual([]);
    expect(readdirSync(directory)).toEqual(["lock.8"]);
    await winner!.release();
  });

  it("goes past a damaged file", async () => {
    const path = join(temporaryDirectory(), "lock");
    writeFileSync(`${path}.1`, "{");
    const [winner] = await contend(path, 1);
    expect(await readLock(path)).toMatchObject([{ number: 2, alive: true }]);
    await winner!.release();
  });

  it("is left to a holder on another host as long as that shows signs of life", async () => {
    const path = join(temporaryDirectory(), "lock");
    forge(`${path}.1`, elsewhere);
    expect(await acquireLock(path, "run")).toMatchObject({ holder: { runId: "forged", host: "far" } });
    const longAgo = new Date(Date.now() - 3_600_000);
    utimesSync(`${path}.1`, longAgo, longAgo);
    const [winner] = await contend(path, 1);
    await winner!.release();
  });
});
