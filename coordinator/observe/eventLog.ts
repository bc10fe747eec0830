import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";

/** Something that happened, as it stands in events.jsonl. */
export interface RunEvent {
  /** From 1, without gaps within one coordinator. */
  readonly sequence: number;
  readonly timeMs: number;
  readonly kind: EventKind;
  /** One sentence for people. */
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export type EventKind =
  | "state"
  | "data"
  | "step"
  | "evaluation"
  | "checkpoint"
  | "membership"
  | "worker"
  | "warning"
  | "error";

/** Events kept in memory for those who attach later. */
const keptEvents = 2000;

/** Records events in a file and hands them to followers. */
export class EventLog {
  readonly #file: WriteStream;
  readonly #metrics: WriteStream;
  readonly #kept: RunEvent[] = [];
  readonly #followers = new Set<(event: RunEvent) => void>();
  #sequence = 0;

  constructor(paths: { readonly events: string; readonly metrics: string }) {
    this.#file = createWriteStream(paths.events, { flags: "a", mode: 0o600 });
    this.#metrics = createWriteStream(paths.metrics, { flags: "a", mode: 0o600 });
    // A full disk must not end training: the checkpoint that fails next says so with a way out.
    for (const file of [this.#file, this.#metrics]) file.on("error", () => {});
  }

  add(kind: EventKind, message: string, data: Readonly<Record<string, unknown>> = {}): void {
    const event = { sequence: ++this.#sequence, timeMs: Date.now(), kind, message, data };
    this.#file.write(`${JSON.stringify(event)}\n`);
    if (kind === "step" || kind === "evaluation") this.#metrics.write(`${JSON.stringify(data)}\n`);
    this.#kept.push(event);
    if (this.#kept.length > keptEvents) this.#kept.shift();
    for (const follower of this.#followers) follower(event);
  }

  /** Calls `follower` for each kept event from number `from` (0 for none) and for each new one, until the returned function is called. */
  follow(from: number, follower: (event: RunEvent) => void): () => void {
    if (from > 0) for (const event of this.#kept) if (event.sequence >= from) follower(event);
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  async close(): Promise<void> {
    for (const file of [this.#file, this.#metrics]) {
      if (file.destroyed) continue;
      file.end();
      await Promise.race([once(file, "close"), once(file, "error")]);
    }
  }
}
