import { parseKey } from "../../shared/checkpoint/s3/keys.ts";
import type { ObjectStorage } from "../../shared/checkpoint/s3/objectStorage.ts";
import type { S3CheckpointStore } from "../../shared/checkpoint/s3/s3Store.ts";
import type { StoreOptions } from "../../shared/checkpoint/store.ts";
import type { StorePlace } from "./checkpointStoreContract.ts";

/** A place of the contract suite below a prefix of a bucket. */
export function s3Place(
  storage: ObjectStorage,
  prefix: string,
  open: (options?: StoreOptions) => S3CheckpointStore,
): StorePlace {
  const keys = async () => (await storage.list(`${prefix}/`)).map(({ key }) => key.slice(prefix.length + 1));
  return {
    open,
    async change(name, file, edit) {
      const found = (await keys()).filter((key) => key.startsWith(`${name}/`) && key.endsWith(`/${file}`));
      if (found.length !== 1) throw new Error(`${name} has ${found.length} objects named ${file}.`);
      const key = `${prefix}/${found[0]}`;
      const parts: Uint8Array[] = [];
      for await (const piece of (await storage.get(key))!) parts.push(Uint8Array.from(piece));
      const bytes = edit(Buffer.concat(parts));
      await (bytes ? storage.put(key, [bytes], bytes.byteLength) : storage.remove([key]));
    },
    async leftovers() {
      const all = await keys();
      const committed = all.flatMap((key) => {
        const parsed = parseKey(key);
        return parsed.kind === "commit" ? [`${parsed.name}/g${parsed.generation}`] : [];
      });
      const attempts = new Set(all.flatMap((key) => /^(.*\/g\d+-[0-9a-f]{8})\//.exec(key)?.[1] ?? []));
      const aside = all.filter((key) => parseKey(key).kind === "other");
      // Each commit has one attempt, and so has each that was put aside.
      const extra = attempts.size - committed.length - aside.length;
      return [...aside, ...(extra === 0 ? [] : [`${extra} attempts too many: ${[...attempts].join(" ")}`])];
    },
  };
}
