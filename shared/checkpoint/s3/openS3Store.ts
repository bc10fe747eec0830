import { parseS3Location } from "../location.ts";
import type { CheckpointStore, StoreOptions } from "../store.ts";
import { openBucket } from "./bucket.ts";
import { S3CheckpointStore } from "./s3Store.ts";

/** The store of `s3://bucket/prefix`. Throws CONFIG_INVALID for anything else. */
export async function openS3Store(location: string, options: StoreOptions): Promise<CheckpointStore> {
  const { bucket, prefix } = parseS3Location(location);
  return new S3CheckpointStore(await openBucket(bucket), prefix, options);
}
