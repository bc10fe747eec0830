import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FileSystem } from "../../shared/checkpoint/fileSystem.ts";
import { LocalCheckpointStore } from "../../shared/checkpoint/localStore.ts";
import type { CheckpointContents } from "../../shared/checkpoint/types.ts";
import { checkpointContents } from "../support/checkpointContents.ts";
import { type Fault, FaultyFileSystem } from "../support/faultyFileSystem.ts";

const templates = new Set<string>();
let root: string;
let directory: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "coord-faults-"));
  directory = join(root, "output");
});
afterEach(() => rm(root, { recursive: true }));

/** A save of `next` into a directory that holds `before`. */
interface Scenario {
  readonly before: readonly CheckpointContents[];
  readonly next: CheckpointContents;
  readonly saveTotalLimit: number;
}

const scenarios: Record<string, Scenario> = {
  "a first save": { before: [], next: checkpointContents(10), saveTotalLimit: 0 },
  "a save with retention": {
    before: [checkpointContents(10), checkpointContents(20)],
    next: checkpointContents(30),
    saveTotalLimit: 1,
  },
  "a replacement": {
    before: [checkpointContents(10, { generation: 1n })],
    next: checkpointContents(10, { generation: 2n, salt: 1 }),
    saveTotalLimit: 1,
  },
};

/** Puts the directory into its state before the save; made once, then copied. */
async function prepare({ before }: Scenario): Promise<void> {
  const template = join(root, "template");
  for (const contents of before) {
    const store = new LocalCheckpointStore(template, { fs: new FaultyFileSystem() });
    if (!templates.has(template)) await store.save(contents);
  }
  templates.add(template);
  await rm(directory, { recursive: true, force: true });
  if (before.length > 0) await cp(template, directory, { recursive: true });
}

async function operationsOf(scenario: Scenario): Promise<string[]> {
  await prepare(scenario);
  const fs = new FaultyFileSystem();
  await storeOf(scenario, fs).save(scenario.next);
  return fs.operations;
}

const storeOf = ({ saveTotalLimit }: Scenario, fs: FileSystem, warnings: string[] = []) =>
  new LocalCheckpointStore(directory, { saveTotalLimit, fs, onWarning: (message) => warnings.push(message) });

/** What a new process finds: the new state or the newest earlier one, whole; the new one if it was acknowledged. */
async function expectSurvival(scenario: Scenario, acknowledged: boolean, at: string): Promise<void> {
  const found = await new LocalCheckpointStore(directory).newestValid().catch((thrown: unknown) => thrown);
  const allowed = acknowledged ? [scenario.next] : [scenario.before.at(-1), scenario.next];
  const state = (found as Awaited<ReturnType<LocalCheckpointStore["newestValid"]>>)?.checkpoint.state;
  expect(
    allowed.map((contents) => contents?.state),
    at,
  ).toContainEqual(state);
}

describe.each(Object.entries(scenarios))("LocalCheckpointStore, %s", (_, scenario) => {
  const crashes: Fault[] = [{ kind: "crash" }, { kind: "powerLoss" }];
  it.each(crashes)("loses nothing to a $kind at any operation, and the next save cleans up", async (fault) => {
    const operations = await operationsOf(scenario);
    expect(operations.length).toBeGreaterThan(20);
    for (const [at, operation] of operations.entries()) {
      await prepare(scenario);
      const fs = new FaultyFileSystem(at, fault);
      const acknowledged = await storeOf(scenario, fs)
        .save(scenario.next)
        .then(
          () => true,
          () => false,
        );
      expect(fs.fired, operation).toBe(1);
      await expectSurvival(scenario, acknowledged, `${at} ${operation}`);
      const repeated = await storeOf(scenario, new FaultyFileSystem()).save(scenario.next);
      expect((await new LocalCheckpointStore(directory).newestValid())?.checkpoint.state).toEqual(scenario.next.state);
      const left = (await readdir(directory)).filter((name) => name.startsWith("."));
      expect(left, `${at} ${operation}`).toEqual([]);
      expect(repeated.name).toBe(`checkpoint-${scenario.next.state.step}`);
    }
  });

  it.each(["ENOSPC", "EIO", "EDQUOT", "EROFS", "ESTALE"])(
    "leaves nothing half-written after %s at any operation, and names path and bytes",
    async (code) => {
      const operations = await operationsOf(scenario);
      for (const [at, operation] of operations.entries()) {
        await prepare(scenario);
        const fs = new FaultyFileSystem(at, { kind: "error", code });
        const warnings: string[] = [];
        const outcome = await storeOf(scenario, fs, warnings)
          .save(scenario.next)
          .catch((thrown: unknown) => thrown);
        expect(fs.fired, operation).toBe(1);
        const failed = outcome instanceof Error;
        if (failed) {
          expect(outcome, operation).toMatchObject({ code: "STORAGE_FAILED", message: expect.stringContaining(code) });
          expect((outcome as Error).message, operation).toContain(directory);
          expect((outcome as Error).message, operation).toMatch(/\(\d+ bytes\): /);
        } else {
          // Only what comes after the acknowledgement may go wrong without failing the save.
          expect(warnings.join(), operation).toContain(code);
        }
        await expectSurvival(scenario, !failed, `${at} ${operation}`);
        const half = (await readdir(directory).catch(() => [])).filter((name) => name.startsWith(".tmp-"));
        expect(half, operation).toEqual([]);
      }
    },
  );
});

describe("LocalCheckpointStore's order of operations", () => {
  it("is: each file created, written, synced; the manifest last; the directory; rename; the parent", async () => {
    const operations = (await operationsOf(scenarios["a save with retention"]!))
      .filter((operation) => !operation.startsWith("close"))
      .map((operation) =>
        operation
          .replaceAll(`${directory}/`, "")
          .replaceAll(/-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "")
          .replaceAll(directory, "OUTPUT"),
      );
    const written = (file: string) =>
      ["createFile", "write", "sync"].map((operation) => `${operation} .tmp-checkpoint-30/${file}`);
    const distinct = operations.filter((operation, index) => operation !== operations[index - 1]);
    expect(distinct).toEqual([
      "makeDirectory OUTPUT",
      "makeDirectory .tmp-checkpoint-30",
      ...written("adapter_config.json"),
      ...written("adapter_model.safetensors"),
      ...written("optimizer.safetensors"),
      ...written("trainer_state.json"),
      ...written("manifest.json"),
      "syncDirectory .tmp-checkpoint-30",
      "rename .tmp-checkpoint-30 checkpoint-30",
      "syncDirectory OUTPUT",
      "rename checkpoint-20 .trash-checkpoint-20",
      "rename checkpoint-10 .trash-checkpoint-10",
      "syncDirectory OUTPUT",
      "remove .trash-checkpoint-20",
      "remove .trash-checkpoint-10",
    ]);
  });

  it("says how many bytes did not fit and what to do", async () => {
    const scenario = scenarios["a first save"]!;
    const operations = await operationsOf(scenario);
    await prepare(scenario);
    const at = operations.findIndex((operation) => /write .*optimizer/.test(operation));
    const fs = new FaultyFileSystem(at, { kind: "error", code: "ENOSPC" });
    await expect(storeOf(scenario, fs).save(scenario.next)).rejects.toThrow(
      /^Could not write .*optimizer\.safetensors \(\d+ bytes\): the disk is full; free space there, or choose .* \(ENOSPC\)\.$/,
    );
  });
});
