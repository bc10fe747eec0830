import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { median } from "../statistics.ts";

/** What the host does at best, in bytes per second. */
export interface CheckpointFloor {
  /** Writing one file in pieces of 4 MiB, and syncing it. */
  readonly disk: number;
  /** SHA-256 of bytes in memory, on one thread. */
  readonly hash: number;
  /** Copying float32 from one buffer to another that has been written to before; counts the copied bytes once. */
  readonly copy: number;
}

const repetitions = 5;
const pieceBytes = 4 * 1024 * 1024;

export async function measureFloor(directory: string, bytes: Uint8Array): Promise<CheckpointFloor> {
  const rates = { disk: [] as number[], hash: [] as number[], copy: [] as number[] };
  const path = join(directory, "floor");
  const copy = new Uint8Array(bytes.byteLength).fill(1);
  const rate = (begin: number) => (bytes.byteLength * 1000) / (performance.now() - begin);
  for (let repetition = 0; repetition < repetitions; repetition++) {
    let begin = performance.now();
    const file = await open(path, "wx");
    for (let at = 0; at < bytes.byteLength; at += pieceBytes)
      await file.write(bytes, at, Math.min(pieceBytes, bytes.byteLength - at));
    await file.sync();
    rates.disk.push(rate(begin));
    await file.close();
    await rm(path);

    begin = performance.now();
    createHash("sha256").update(bytes).digest();
    rates.hash.push(rate(begin));

    begin = performance.now();
    copy.set(bytes);
    rates.copy.push(rate(begin));
  }
  return { disk: median(rates.disk), hash: median(rates.hash), copy: median(rates.copy) };
}
