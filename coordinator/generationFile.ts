import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { CoordError } from "../shared/errors.ts";

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

  /**
   * Throws RUN_IN_USE when another coordinator has given a generation out meanwhile: after a partition Slurm can run an
   * old and a new attempt at once, and the old one must not write any more.
   */
  check(): void {
    const newest = readNumber(this.path);
    if (newest <= this.#current) return;
    throw new CoordError(
      "RUN_IN_USE",
      `Another coordinator has taken this run over (generation ${newest}, this one has ${this.#current}).`,
    );
  }

  next(): bigint {
    this.check();
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
