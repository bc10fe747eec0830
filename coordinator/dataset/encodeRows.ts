import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { Deferred } from "../../shared/deferred.ts";
import { CoordError } from "../../shared/errors.ts";
import type { Encoder, EncoderInput, EncoderSetup, Outcome } from "./encoder.ts";
import type { ThreadReply } from "./encodeThread.ts";
import { unpackOutcomes } from "./packOutcomes.ts";

/** A batch is full with so many rows, or with so much text: what waits must not grow with the length of the rows. */
const batchRows = 32;
const batchCharacters = 256 * 1024;
/** Batches that wait for each thread, the one it works on included: enough that it never idles. */
const batchesPerThread = 3;

/**
 * V8 lets garbage pile up to four times what is alive, to 1.6 times where a heap may not be large (heap-controller). So
 * much is still enough for rows of 64 MiB.
 */
const threadLimits = { maxOldGenerationSizeMb: 1024, maxYoungGenerationSizeMb: 24 };

/** False where the sources run uncompiled, which Node 20 cannot do in a thread. */
export const threadsAvailable = !import.meta.url.endsWith(".ts");

/** What became of a row. */
export interface EncodedRow {
  readonly row: EncoderInput;
  readonly outcome: Outcome;
}

/**
 * Encodes rows in batches and yields the outcomes in the order of the rows, whatever the number of threads. With no
 * threads the work is done here, giving way to the event loop after each batch.
 */
export async function* encodeRows(
  rows: AsyncIterable<EncoderInput>,
  encoder: Encoder,
  setup: EncoderSetup,
  threads: number,
  signal: AbortSignal,
): AsyncGenerator<readonly EncodedRow[]> {
  if (threads === 0 || !threadsAvailable) {
    for await (const batch of batches(rows)) {
      await setImmediate();
      signal.throwIfAborted();
      yield batch.map((row) => ({ row, outcome: encoder.encode(row) }));
    }
    return;
  }
  const pool = Array.from({ length: threads }, () => new EncodeThread(setup));
  try {
    const pending: Promise<readonly EncodedRow[]>[] = [];
    let sent = 0;
    for await (const batch of batches(rows)) {
      signal.throwIfAborted();
      const reply = pool[sent++ % threads]!.encode(batch);
      reply.catch(() => undefined); // It is awaited later, in order; until then a failure is not unhandled.
      pending.push(reply);
      if (pending.length >= threads * batchesPerThread) yield await pending.shift()!;
    }
    for (const reply of pending) {
      signal.throwIfAborted();
      yield await reply;
    }
  } finally {
    await Promise.all(pool.map((thread) => thread.end()));
  }
}

async function* batches(rows: AsyncIterable<EncoderInput>): AsyncGenerator<EncoderInput[]> {
  let batch: EncoderInput[] = [];
  let characters = 0;
  for await (const row of rows) {
    batch.push(row);
    characters += charactersOf(row);
    if (batch.length === batchRows || characters >= batchCharacters) {
      yield batch;
      batch = [];
      characters = 0;
    }
  }
  if (batch.length > 0) yield batch;
}

function charactersOf(row: EncoderInput): number {
  if ("problem" in row) return 0;
  const { conversation } = row;
  if ("text" in conversation) return conversation.text.length;
  return conversation.messages.reduce((sum, { content }) => sum + content.length, 0);
}

/** One tokenizing thread. It answers batches in the order in which it got them. */
class EncodeThread {
  readonly #worker: Worker;
  readonly #waiting: Deferred<readonly Outcome[]>[] = [];
  #failure: CoordError | undefined;

  constructor(setup: EncoderSetup) {
    const url = new URL("./encodeThread.js", import.meta.url);
    this.#worker = new Worker(url, { workerData: setup, resourceLimits: threadLimits });
    this.#worker.on("message", (reply: ThreadReply) => {
      const waiting = this.#waiting.shift();
      if ("packed" in reply) waiting?.resolve(unpackOutcomes(reply.packed));
      else waiting?.reject(new CoordError(reply.code, reply.message));
    });
    this.#worker.on("error", (error) => this.#fail(error.message));
    this.#worker.on("exit", (code) => this.#fail(`it ended with code ${code}`));
  }

  async encode(batch: readonly EncoderInput[]): Promise<readonly EncodedRow[]> {
    if (this.#failure !== undefined) throw this.#failure;
    const reply = new Deferred<readonly Outcome[]>();
    this.#waiting.push(reply);
    this.#worker.postMessage(batch);
    const outcomes = await reply.promise;
    return batch.map((row, index) => ({ row, outcome: outcomes[index]! }));
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #fail(reason: string): void {
    this.#failure ??= new CoordError("INTERNAL", `A tokenizing thread failed: ${reason}.`);
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure);
  }
}
