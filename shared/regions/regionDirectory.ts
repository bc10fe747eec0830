import { lstatSync, readFileSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { CoordError } from "../errors.ts";

/**
 * Regions are files in a directory of the run in shared memory: one per slot, which the worker that has it alone writes,
 * and one for the sum, of which each worker writes its share; others for each generation.
 */
export function gradientRegion(directory: string, generation: bigint, slot: number): string {
  return join(directory, `gradient-${generation}-${slot}`);
}

export function sumRegion(directory: string, generation: bigint): string {
  return join(directory, `sum-${generation}`);
}

/** Where members meet when they go through a round by themselves: their progress, digests and losses. */
export function meetingRegion(directory: string, generation: bigint): string {
  return join(directory, `meeting-${generation}`);
}

/** The generation of a region's file; undefined for other names. */
export function generationOf(name: string): bigint | undefined {
  const digits = /^(?:gradient-(\d+)-\d+|(?:sum|meeting)-(\d+))$/.exec(name);
  return digits ? BigInt(digits[1] ?? digits[2]!) : undefined;
}

/** What the coordinator leaves in the directory for its workers. */
export interface RegionTerms {
  /** Tells the coordinator of its peers that they see the same directory. */
  readonly key: string;
  /** Bytes that all regions of a round may take together: what all members must agree on. */
  readonly budgetBytes: number;
}

export function termsFile(directory: string): string {
  return join(directory, "terms");
}

/** The terms; undefined where there are none, as on another host. */
export function readTerms(directory: string): RegionTerms | undefined {
  try {
    checkPrivate(directory);
    return JSON.parse(readFileSync(termsFile(directory), "utf8")) as RegionTerms;
  } catch {
    return undefined;
  }
}

/** Bytes that regions in a directory may take: most of what is free, since what does not fit ends in an error or worse. */
export function regionBudget(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return Math.floor(bavail * bsize * 0.75);
}

/** Throws unless it is a directory that only this user can enter: shared memory is open to everybody on the host. */
export function checkPrivate(directory: string): void {
  const entry = lstatSync(directory);
  if (!entry.isDirectory() || entry.uid !== process.getuid?.() || (entry.mode & 0o077) !== 0) {
    throw new CoordError("PREFLIGHT_REFUSED", `${directory} is not a directory of this user alone; remove it.`);
  }
}
