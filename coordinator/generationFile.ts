import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/**
 * The newest membership epoch of a run, on disk before it is used: after a crash no number is given out twice. Written
 * synchronously, because membership changes are decided without yielding; that is once per change, not per step.
 */
export class GenerationFile {
  #current: bigint;

  constructor(private readonly path: string) {
    this.#current = readNumber(path);
  }

  /** Never to go below `generation`: a checkpoint may be newer than this file. */
  raiseTo(generation: bigint): void {
    if (generation > this.#current) this.#current = generation;
  }

  next(): bigint {
    const next = this.#current + 1n;
    const temporary = `${this.path}.tmp`;
    writeAndSync(temporary, `${next}\n`);
    renameSync(temporary, this.path);
    syncDirectory(dirname(this.path));
    this.#current = next;
    return next;
  }
}

function readNumber(path: string): bigint {
  try {
    const text = readFileSync(path, "utf8").trim();
    return /^\d{1,20}$/.test(text) ? BigInt(text) : 0n;
  } catch {
    return 0n;
  }
}

function writeAndSync(path: string, text: string): void {
  const file = openSync(path, "w", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
