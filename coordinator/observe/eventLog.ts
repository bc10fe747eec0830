import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
/** Something that happened, as it stands in events.jsonl. */
export interface RunEvent {
  /** From 1, without gaps, over all coordinators of the run. */
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

/**
 * Records events in a file and hands them to followers. Writes are synchronous: what was told must be there after a
 * crash, and a line costs microseconds.
 */
export class EventLog {
  readonly #files: { readonly events: number; readonly metrics: number };
  readonly #kept: RunEvent[] = [];
  readonly #followers = new Set<(event: RunEvent) => void>();
  #sequence: number;

  constructor(paths: { readonly events: string; readonly metrics: string }) {
    this.#sequence = lastSequence(paths.events);
    this.#files = { events: openSync(paths.events, "a", 0o600), metrics: openSync(paths.metrics, "a", 0o600) };
  }

  add(kind: EventKind, message: string, data: Readonly<Record<string, unknown>> = {}): void {
    const event = { sequence: ++this.#sequence, timeMs: Date.now(), kind, message, data };
    append(this.#files.events, event);
    if (kind === "step" || kind === "evaluation") append(this.#files.metrics, data);
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

  close(): void {
    for (const file of Object.values(this.#files)) closeSync(file);
  }
}

function append(file: number, line: object): void {
  try {
    writeSync(file, `${JSON.stringify(line)}\n`);
  } catch {
    // A full disk must not end training here: the checkpoint that fails next says so with a way out.
  }
}

/** Number of the last event that an earlier coordinator of the run has recorded; 0 for none. */
function lastSequence(path: string): number {
  try {
    let last = 0;
    for (const [, number] of readFileSync(path, "utf8").matchAll(/^{"sequence":(\d+),/gm)) last = Number(number);
    return last;
  } catch {
    return 0;
  }
}
