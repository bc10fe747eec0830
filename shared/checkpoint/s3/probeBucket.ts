import { randomUUID } from "node:crypto";
import { CoordError } from "../../errors.ts";
import { parseS3Location } from "../location.ts";
import { openBucket } from "./bucket.ts";
import { getSmall, type ObjectStorage } from "./objectStorage.ts";

/**
 * Writes, reads and removes a small object, and checks that the server honours `If-None-Match`, which is how checkpoints
 * are committed. Throws STORAGE_FAILED or PREFLIGHT_REFUSED.
 */
export async function probeBucket(location: string): Promise<void> {
  const { bucket, prefix } = parseS3Location(location);
  await probeStorage(await openBucket(bucket), prefix === "" ? "" : `${prefix}/`);
}

export async function probeStorage(storage: ObjectStorage, prefix: string): Promise<void> {
  const key = `${prefix}.coord-probe-${randomUUID()}`;
  const [first, second] = ["first", "second"].map((text) => new TextEncoder().encode(text)) as [Uint8Array, Uint8Array];
  try {
    await storage.putIfAbsent(key, first);
    const again = await storage.putIfAbsent(key, second);
    const found = await getSmall(storage, key, 64);
    if (!again && found && Buffer.compare(found, first) === 0) return;
    throw new CoordError(
      "PREFLIGHT_REFUSED",
      `The server of ${storage.url(prefix)} overwrote an object that was to be created only if absent (If-None-Match), so two writers could not be kept apart. Use a server that honours it, or a directory as --output.`,
    );
  } finally {
    await storage.remove([key]).catch(() => undefined);
  }
}
