import type { ObjectEntry, ObjectStorage } from "../../shared/checkpoint/s3/objectStorage.ts";
import { CoordError } from "../../shared/errors.ts";

/** What happens at one request. */
export type RequestFault =
  /** It never arrives; the writer is told so and goes on. */
  | "requestLost"
  /** It is carried out, but the writer is told that it was not. */
  | "replyLost"
  /** It never arrives, and the writer dies there. */
  | "diedBefore"
  /** It is carried out, and the writer dies before it hears so. */
  | "diedAfter";

/** Bytes of a part: small, so that checkpoints of the tests are written in several. */
const partBytes = 700;

/** Objects of one bucket, shared by the connections of several writers. */
export class MemoryBucket {
  readonly objects = new Map<string, { bytes: Uint8Array; modifiedMs: number }>();
  /** Keys of interrupted writes in several parts. */
  readonly uploads: string[] = [];
}

/**
 * A connection to a bucket in memory with one fault, at the `at`-th request, counted from 0. A large object takes a
 * request per part and one that makes it appear, as in S3.
 */
export class MemoryObjects implements ObjectStorage {
  /** Requests so far, by name, for messages and for counting. */
  readonly requests: string[] = [];
  /** How often the fault has fired. */
  fired = 0;
  #dead = false;

  constructor(
    readonly bucket = new MemoryBucket(),
    readonly at: number = Number.POSITIVE_INFINITY,
    readonly fault: RequestFault = "requestLost",
  ) {}

  url(key: string): string {
    return key === "" ? "s3://memory" : `s3://memory/${key}`;
  }

  async put(key: string, pieces: Iterable<Uint8Array>, size: number): Promise<void> {
    const bytes = Buffer.concat([...pieces]);
    if (bytes.byteLength !== size) throw new Error(`${key} has ${bytes.byteLength} bytes, not ${size}.`);
    const store = () => void this.bucket.objects.set(key, { bytes, modifiedMs: 1 });
    if (size <= partBytes) return this.#request(`put ${key}`, store);
    await this.#request(`begin ${key}`, () => void this.bucket.uploads.push(key));
    try {
      for (let at = 0; at < size; at += partBytes) await this.#request(`part ${key}`, () => undefined);
      await this.#request(`complete ${key}`, () => {
        store();
        this.#abort(key);
      });
    } catch (thrown) {
      await this.#request(`abort ${key}`, () => this.#abort(key)).catch(() => undefined);
      throw thrown;
    }
  }

  putIfAbsent(key: string, bytes: Uint8Array): Promise<boolean> {
    return this.#request(`putIfAbsent ${key}`, () => {
      if (this.bucket.objects.has(key)) return false;
      this.bucket.objects.set(key, { bytes: Uint8Array.from(bytes), modifiedMs: 1 });
      return true;
    });
  }

  get(key: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    return this.#request(`get ${key}`, () => {
      const bytes = this.bucket.objects.get(key)?.bytes;
      return bytes && inTwo(bytes);
    });
  }

  list(prefix: string): Promise<ObjectEntry[]> {
    return this.#request(`list ${prefix}`, () =>
      [...this.bucket.objects]
        .filter(([key]) => key.startsWith(prefix))
        .map(([key, { bytes, modifiedMs }]) => ({ key, size: bytes.byteLength, modifiedMs })),
    );
  }

  async remove(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    await this.#request(`remove ${keys.join(" ")}`, () => {
      for (const key of keys) this.bucket.objects.delete(key);
    });
  }

  abandonUploads(prefix: string, which: (key: string) => boolean): Promise<void> {
    return this.#request(`abandonUploads ${prefix}`, () => {
      for (const key of [...this.bucket.uploads]) if (key.startsWith(prefix) && which(key)) this.#abort(key);
    });
  }

  #abort(key: string): void {
    const at = this.bucket.uploads.indexOf(key);
    if (at >= 0) this.bucket.uploads.splice(at, 1);
  }

  async #request<Result>(name: string, carryOut: () => Result): Promise<Result> {
    if (this.#dead) throw new Error("The process is dead.");
    const mine = this.requests.length === this.at;
    this.requests.push(name);
    if (!mine) return carryOut();
    this.fired++;
    if (this.fault === "replyLost" || this.fault === "diedAfter") carryOut();
    this.#dead = this.fault === "diedBefore" || this.fault === "diedAfter";
    throw new CoordError("STORAGE_FAILED", `Could not carry out ${name}: the connection was lost (ECONNRESET).`);
  }
}

async function* inTwo(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const half = bytes.byteLength >> 1;
  yield bytes.subarray(0, half);
  yield bytes.subarray(half);
}
