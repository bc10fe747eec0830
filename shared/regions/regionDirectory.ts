import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CoordError } from "../errors.ts";

/**
 * Regions are files in a directory of the run in shared memory: one per worker, which alone writes it, and one per
 * generation for the sum, which the coordinator alone writes. Names come from who somebody is, never from a message.
 */
export function gradientRegion(directory: string, workerId: string, incarnation: string): string {
  if (!/^\d+\/\d+$/.test(workerId) || !/^[\w-]{1,64}$/.test(incarnation)) {
    throw new CoordError("INVALID_REQUEST", `Worker ${JSON.stringify(workerId)} cannot have a shared-memory region.`);
  }
  return join(directory, `${gradientPrefix(workerId)}${incarnation}`);
}

/** What the names of all regions start with that a place's workers, one after the other, have had. */
export function gradientPrefix(workerId: string): string {
  return `gradient-${workerId.replace("/", "-")}-`;
}

export function sumRegion(directory: string, generation: bigint): string {
  return join(directory, `sum-${generation}`);
}

/** Holds the key that tells the coordinator of its peers that they see the same directory. */
export function keyFile(directory: string): string {
  return join(directory, "key");
}

/** The key; undefined where there is none, as on another host. */
export function readKey(directory: string): string | undefined {
  try {
    checkPrivate(directory);
    return readFileSync(keyFile(directory), "utf8");
  } catch {
    return undefined;
  }
}

/** Throws unless it is a directory that only this user can enter: shared memory is open to everybody on the host. */
export function checkPrivate(directory: string): void {
  const entry = lstatSync(directory);
  if (!entry.isDirectory() || entry.uid !== process.getuid?.() || (entry.mode & 0o077) !== 0) {
    throw new CoordError("PREFLIGHT_REFUSED", `${directory} is not a directory of this user alone; remove it.`);
  }
}
