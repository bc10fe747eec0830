import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { LocalCheckpointStore } from "../../shared/checkpoint/localStore.ts";
import type { CheckpointContents } from "../../shared/checkpoint/types.ts";
import { randomKey, randomUnit } from "../../shared/rng.ts";
import { checkpointContents } from "../support/checkpointContents.ts";
import { DiskModel, type Tree } from "../support/diskModel.ts";
import { type Operation, RecordingFileSystem } from "../support/recordingFileSystem.ts";

const seed = Number(process.env["COORD_CHAOS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const states = Number(process.env["COORD_POWER_LOSSES"] ?? 10_000);
const limit = 2;
const output = "some/output";

/** The life of a run: retention from the third save on; then it goes back to step 10 and comes by 20 and 30 again. */
const saves: readonly CheckpointContents[] = [
  checkpointContents(10),
  checkpointContents(20),
  checkpointContents(30),
  checkpointContents(20, { generation: 2n, salt: 1 }),
  checkpointContents(30, { generation: 2n, salt: 1 }),
  checkpointContents(40, { generation: 2n }),
];

// In memory where possible: many thousands of small files are written.
const scratch = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "coord-power-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A checkpoint as it was acknowledged. */
interface Acknowledged {
  readonly contents: CheckpointContents;
  readonly files: ReadonlyMap<string, string>;
  /** Operations that had been carried out by then. */
  readonly at: number;
}

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("base64");

async function record(): Promise<{ operations: readonly Operation[]; acknowledged: Acknowledged[] }> {
  const root = join(scratch, "recorded");
  mkdirSync(root);
  const fs = new RecordingFileSystem(root);
  const store = new LocalCheckpointStore(join(root, output), { fs, saveTotalLimit: limit });
  const acknowledged: Acknowledged[] = [];
  for (const contents of saves) {
    const { path } = await store.save(contents);
    const files = readdirSync(path).map((name) => [name, digest(readFileSync(join(path, name)))] as const);
    acknowledged.push({ contents, files: new Map(files), at: fs.operations.length });
  }
  return { operations: fs.operations, acknowledged };
}

const { acknowledged, operations } = await record();

const isNewer = (a: CheckpointContents, b: CheckpointContents) =>
  a.generation !== b.generation ? a.generation > b.generation : a.state.step > b.state.step;

/** Checkpoints of a tree that are, to the byte, as they were acknowledged; found without the store's help. */
function wholeIn(tree: Tree): CheckpointContents[] {
  const directories = [...tree.keys()].filter((path) => path.startsWith(`${output}/`) && path.endsWith("/"));
  const names = directories.map((path) => path.slice(output.length + 1, -1));
  return names.flatMap((name) => {
    const put = /^\.replaced-(checkpoint-\d+)-/.exec(name)?.[1];
    if (put === undefined ? !/^checkpoint-\d+$/.test(name) : names.includes(put)) return [];
    const prefix = `${output}/${name}/`;
    const files = [...tree].flatMap(([path, bytes]) =>
      path.startsWith(prefix) && bytes ? [[path.slice(prefix.length), digest(bytes)] as const] : [],
    );
    const found = acknowledged.find(
      (one) =>
        (put ?? name) === `checkpoint-${one.contents.state.step}` &&
        one.files.size === files.length &&
        files.every(([file, sha]) => one.files.get(file) === sha),
    );
    return found ? [found.contents] : [];
  });
}

let place = 0;

/** Writes a tree out and asks the store for the newest valid checkpoint, as resume does. */
async function resumeFrom(tree: Tree, when: string): Promise<void> {
  const root = join(scratch, String(place++));
  mkdirSync(root);
  for (const [path, bytes] of tree) {
    if (bytes) writeFileSync(join(root, path), bytes);
    else mkdirSync(join(root, path), { recursive: true });
  }
  try {
    const store = new LocalCheckpointStore(join(root, output));
    const found = await store.newestValid().catch((thrown: Error) => thrown);
    const whole = wholeIn(tree);
    const newest = whole.reduce<CheckpointContents | undefined>((a, b) => (a && isNewer(a, b) ? a : b), undefined);
    const state = found instanceof Error ? found.message : found?.checkpoint.state;
    if (newest) expect(state, `${when}: the newest whole checkpoint`).toEqual(newest.state);
    // Half of a first checkpoint may be there, which is an error, or nothing.
    else expect([undefined, "string"], `${when}: ${String(found)}`).toContain(state && typeof state);
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** What must hold whatever is lost at the `cut`-th operation. */
function expectKept(tree: Tree, cut: number, when: string): void {
  const whole = wholeIn(tree);
  const before = acknowledged.filter(({ at }) => at <= cut);
  const newest = before
    .map(({ contents }) => contents)
    .reduce<CheckpointContents | undefined>((a, b) => (a && isNewer(a, b) ? a : b), undefined);
  if (newest)
    expect(
      whole.some((one) => one === newest || isNewer(one, newest)),
      `${when}: acknowledged`,
    ).toBe(true);
  const steps = new Set(before.map(({ contents }) => contents.state.step)).size;
  expect(whole.length, `${when}: number of whole checkpoints`).toBeGreaterThanOrEqual(Math.min(limit, steps));
}

/** The parts of an operation after which a process may die, apart from none and all of it. */
function partsOf(operation: Operation): number[] {
  if (operation.kind === "remove") return [0, 1, 2, 3, 4];
  if (operation.kind !== "write") return [];
  const length = operation.bytes.length;
  return [...new Set([0, 1, length >> 1, length - 1])];
}

/** A disk on which the first operations have been carried out, those of one kind left out where a test asks for it. */
function modelBefore(cut: number, leftOut?: Operation["kind"]): DiskModel {
  const model = new DiskModel();
  for (const operation of operations.slice(0, cut)) if (operation.kind !== leftOut) model.apply(operation);
  return model;
}

/** Numbers in [0, 1) that the seed gives again. */
function randomNumbers(purpose: string): () => number {
  const key = randomKey(seed, purpose);
  let drawn = 0;
  return () => randomUnit(key, drawn++);
}

describe(`checkpoints in a directory whose host dies (COORD_CHAOS_SEED=${seed})`, () => {
  it("the model agrees with the disk on what is there when nothing is lost", () => {
    const tree = modelBefore(operations.length).afterCrash();
    expect(wholeIn(tree)).toEqual([saves[4], saves[5]]);
    const root = join(scratch, "recorded", output);
    const paths = readdirSync(root).flatMap((name) =>
      readdirSync(join(root, name)).map((file) => join(output, name, file)),
    );
    expect([...tree.keys()].filter((path) => !path.endsWith("/")).sort()).toEqual(paths.sort());
    for (const path of paths)
      expect(Buffer.compare(tree.get(path)!, readFileSync(join(scratch, "recorded", path))), path).toBe(0);
  });

  it("loses nothing to a death before, after or inside any operation", async () => {
    let count = 0;
    for (let cut = 0; cut <= operations.length; cut++) {
      const operation = operations[cut];
      for (const part of operation ? [undefined, ...partsOf(operation)] : [undefined]) {
        const model = modelBefore(cut);
        if (operation && part !== undefined) model.apply(operation, part);
        const tree = model.afterCrash();
        const when = `operation ${cut} (${operation?.kind} ${operation?.path}), part ${part ?? "none"}`;
        expectKept(tree, cut, when);
        await resumeFrom(tree, when);
        count++;
      }
    }
    const first = acknowledged[0]!.at;
    process.stdout.write(
      `death of the process: ${operations.length} operations (${first} of them of the first save), ${count} states\n`,
    );
    expect(count).toBeGreaterThan(operations.length);
  });

  it(`loses nothing in ${states} states that a loss of power may leave`, async () => {
    const random = randomNumbers("power loss");
    const seen = new Set<string>();
    for (let state = 0; state < states; state++) {
      const cut = Math.floor(random() * (operations.length + 1));
      const model = modelBefore(cut);
      const operation = operations[cut];
      const length = operation?.kind === "write" ? operation.bytes.length : 4;
      if (operation) model.apply(operation, Math.floor(random() * (length + 1)));
      const tree = model.afterPowerLoss(random);
      const when = `state ${state} of seed ${seed}, at operation ${cut} (${operation?.kind} ${operation?.path})`;
      expectKept(tree, cut, when);
      // The store is deterministic: what it says of the same bytes it has said before.
      const text = [...tree].map(([path, bytes]) => `${path} ${bytes ? digest(bytes) : ""}`).sort();
      const id = digest(Buffer.from(text.join("\n")));
      if (!seen.has(id)) await resumeFrom(tree, when);
      seen.add(id);
    }
    process.stdout.write(`loss of power: ${states} states (${seen.size} different), seed ${seed}\n`);
    expect(seen.size).toBeGreaterThan(states / 10);
  });

  it.each(["sync", "syncDirectory"] as const)("the model would find a writer that leaves out %s", (kind) => {
    const random = randomNumbers(kind);
    const losesOne = () => {
      const cut = Math.floor(random() * (operations.length + 1));
      expectKept(modelBefore(cut, kind).afterPowerLoss(random), cut, "");
    };
    expect(() => {
      for (let state = 0; state < 1000; state++) losesOne();
    }).toThrow();
  });
});
