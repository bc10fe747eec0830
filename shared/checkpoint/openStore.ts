import { LocalCheckpointStore } from "./localStore.ts";
import { isS3 } from "./location.ts";
import type { CheckpointStore, StoreOptions } from "./store.ts";

/** The store of an output: a directory, or `s3://bucket/prefix`, whose code is loaded when it is needed only. */
export async function openStore(location: string, options: StoreOptions = {}): Promise<CheckpointStore> {
  if (!isS3(location)) return new LocalCheckpointStore(location, options);
  const { openS3Store } = await import("./s3/openS3Store.ts");
  return openS3Store(location, options);
}
