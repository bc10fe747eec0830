import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { inspectCheckpoint } from "../../shared/checkpoint/inspectCheckpoint.ts";
import { LocalCheckpointStore } from "../../shared/checkpoint/localStore.ts";
import type { Manifest } from "../../shared/checkpoint/manifest.ts";
import { checkFile, readManifest } from "../../shared/checkpoint/readCheckpoint.ts";
import { CoordError } from "../../shared/errors.ts";
import { randomKey, randomUint32 } from "../../shared/rng.ts";
import { checkpointContents } from "../support/checkpointContents.ts";

const seed = Number(process.env["COORD_CHAOS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const randomFlips = Number(process.env["COORD_FLIPS"] ?? 10_000);
/** Bytes behind the header of a weights file in which every bit is flipped. */
const windowBytes = 128;

// In memory where possible: a file is written for every flip.
const root = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "coord-damage-"));
const directory = join(root, "checkpoint-10");
const store = new LocalCheckpointStore(root);
let manifest: Manifest;
beforeAll(async () => {
  await store.save(checkpointContents(10));
  manifest = await store.verify("checkpoint-10");
});
afterAll(() => rmSync(root, { recursive: true }));

/** Whether verification, of which this is the part that looks at the file, finds the checkpoint wrong. */
async function isNoticed(file: string): Promise<boolean> {
  const facts = manifest.files.find(({ name }) => name === file);
  try {
    await (facts ? checkFile(directory, facts) : readManifest(directory, 10));
    return false;
  } catch (thrown) {
    if (thrown instanceof CoordError && thrown.code === "CHECKPOINT_INVALID") return true;
    throw thrown;
  }
}

/** Flips bits of one byte of a file, asks, and puts the byte back. */
async function expectFlipNoticed(file: string, at: number, mask: number): Promise<void> {
  const path = join(directory, file);
  const before = readFileSync(path)[at]!;
  const write = (value: number) => {
    const handle = openSync(path, "r+");
    writeSync(handle, Uint8Array.of(value), 0, 1, at);
    closeSync(handle);
  };
  write(before ^ mask);
  try {
    if (!(await isNoticed(file)))
      expect.fail(`Byte ${at} of ${file} with mask ${mask} (seed ${seed}) was not noticed.`);
  } finally {
    write(before);
  }
}

const bits = [1, 2, 4, 8, 16, 32, 64, 128];
const sizeOf = (file: string) => statSync(join(directory, file)).size;
const allFiles = () => [...manifest.files.map(({ name }) => name), "manifest.json"];

describe(`a damaged checkpoint (COORD_CHAOS_SEED=${seed})`, () => {
  it("is noticed when any bit of the manifest is flipped", async () => {
    const size = sizeOf("manifest.json");
    for (let at = 0; at < size; at++) for (const bit of bits) await expectFlipNoticed("manifest.json", at, bit);
    process.stdout.write(`flips: ${size * 8} of the manifest, every bit\n`);
  });

  it("is noticed when any bit of a header, or of what follows it, is flipped", async () => {
    let count = 0;
    for (const file of ["adapter_model.safetensors", "optimizer.safetensors"]) {
      const headerBytes = 8 + Number(readFileSync(join(directory, file)).readBigUInt64LE(0));
      const end = Math.min(sizeOf(file), headerBytes + windowBytes);
      for (let at = 0; at < end; at++) for (const bit of bits) await expectFlipNoticed(file, at, bit);
      count += end * 8;
    }
    process.stdout.write(`flips: ${count} of headers and ${windowBytes} bytes behind them, every bit\n`);
  });

  it(`is noticed after each of ${randomFlips} random changes of a byte anywhere`, async () => {
    const key = randomKey(seed, "flips");
    const files = allFiles();
    for (let flip = 0; flip < randomFlips; flip++) {
      const file = files[randomUint32(key, 3 * flip) % files.length]!;
      const at = randomUint32(key, 3 * flip + 1) % sizeOf(file);
      await expectFlipNoticed(file, at, 1 + (randomUint32(key, 3 * flip + 2) % 255));
    }
    process.stdout.write(`flips: ${randomFlips} anywhere, seed ${seed}\n`);
    expect((await store.newestValid())?.checkpoint.name).toBe("checkpoint-10");
  });

  it("is noticed when a file is cut off anywhere, longer, or gone, and an extra file is named", async () => {
    for (const file of allFiles()) {
      const path = join(directory, file);
      const bytes = readFileSync(path);
      for (let size = 0; size < bytes.length; size += 7) {
        truncateSync(path, size);
        expect(await isNoticed(file), `${file} of ${size} bytes`).toBe(true);
        writeFileSync(path, bytes);
      }
      writeFileSync(path, Buffer.concat([bytes, Buffer.from(" ")]));
      expect(await isNoticed(file), `${file} with a byte more`).toBe(true);
      rmSync(path);
      expect(await isNoticed(file), `${file} missing`).toBe(true);
      writeFileSync(path, bytes);
    }
    writeFileSync(join(directory, "extra"), "");
    const { files } = await inspectCheckpoint(directory, 10);
    expect(files).toContainEqual({ name: "extra", state: "extra", problem: null });
    rmSync(join(directory, "extra"));
  });
});
