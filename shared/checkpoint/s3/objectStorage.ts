/** An object as a listing shows it. */
export interface ObjectEntry {
  readonly key: string;
  readonly size: number;
  readonly modifiedMs: number;
}

/**
 * The few requests that a store makes of one bucket. Failures are STORAGE_FAILED with the URL, the bytes concerned and
 * the way out. The seam at which tests inject lost requests and lost replies.
 */
export interface ObjectStorage {
  /** `s3://bucket/key`, for messages. */
  url(key: string): string;
  /** Writes an object, in several parts where it is large; it appears whole or not at all. */
  put(key: string, pieces: Iterable<Uint8Array>, size: number): Promise<void>;
  /**
   * Writes a small object if there is none of that key; false where there is one. Of many writers one gets true. After a
   * lost reply it may be false for the very object that was written: compare.
   */
  putIfAbsent(key: string, bytes: Uint8Array): Promise<boolean>;
  /** Reads an object in pieces; undefined where there is none. */
  get(key: string): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** All objects whose key starts with `prefix`. */
  list(prefix: string): Promise<ObjectEntry[]>;
  /** Removes objects; those that are not there are no error. */
  remove(keys: readonly string[]): Promise<void>;
  /** Frees what interrupted writes in several parts hold, for the keys that `which` names. */
  abandonUploads(prefix: string, which: (key: string) => boolean): Promise<void>;
}

/** A whole object of at most `maxBytes`; undefined where there is none or it is larger. */
export async function getSmall(storage: ObjectStorage, key: string, maxBytes: number): Promise<Uint8Array | undefined> {
  const pieces = await storage.get(key);
  if (!pieces) return undefined;
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    size += piece.byteLength;
    if (size > maxBytes) return undefined;
    parts.push(piece);
  }
  return Buffer.concat(parts);
}
