import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LocalCheckpointStore } from "../../../../shared/checkpoint/localStore.ts";
import { S3CheckpointStore } from "../../../../shared/checkpoint/s3/s3Store.ts";
import { checkpointStoreContract } from "../../../support/checkpointStoreContract.ts";
import { MemoryBucket, MemoryObjects } from "../../../support/memoryObjects.ts";
import { s3Place } from "../../../support/s3Place.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

checkpointStoreContract("a directory", () => {
  const directory = join(temporaryDirectory(), "output");
  return {
    open: (options) => new LocalCheckpointStore(directory, options),
    async change(name, file, edit) {
      const path = join(directory, name, file);
      const bytes = edit(await readFile(path));
      await (bytes ? writeFile(path, bytes) : rm(path));
    },
    leftovers: async () => (await readdir(directory)).filter((name) => !/^checkpoint-\d+$/.test(name)),
  };
});

checkpointStoreContract("a bucket in memory", () => {
  const bucket = new MemoryBucket();
  const storage = () => new MemoryObjects(bucket);
  return s3Place(storage(), "runs/one", (options) => new S3CheckpointStore(storage(), "runs/one", options));
});
