import { parseS3Location } from "../location.ts";
import { piecesOf, sizeOf } from "../writeDurably.ts";
import { openBucket } from "./bucket.ts";

/** Writes objects below `s3://bucket/prefix`, one after the other, each whole or not at all. Throws STORAGE_FAILED. */
export async function putFiles(
  location: string,
  files: readonly { readonly name: string; readonly parts: readonly Uint8Array[] }[],
): Promise<void> {
  const { bucket, prefix } = parseS3Location(location);
  const storage = await openBucket(bucket);
  for (const { name, parts } of files) {
    await storage.put(prefix === "" ? name : `${prefix}/${name}`, piecesOf(parts), sizeOf(parts));
  }
}
