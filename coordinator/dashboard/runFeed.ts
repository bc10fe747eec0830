import { access } from "node:fs/promises";
import type { RunEvent } from "../observe/eventLog.ts";
import { parseEvent } from "../observe/followEvents.ts";
import { LineTail } from "../observe/lineTail.ts";
import type { StatusDocument } from "../observe/renderStatus.ts";
import { History, type HistoryChange } from "./history.ts";
import type { RunAccess } from "./runAccess.ts";

/** One message of a run's stream. */
export interface FeedMessage {
  /** True for the first message, which replaces what the page has. */
  readonly whole: boolean;
  readonly status: StatusDocument;
  readonly history: HistoryChange;
  /** Events other than steps, oldest first. */
  readonly events: readonly ShownEvent[];
}

export type ShownEvent = Pick<RunEvent, "kind" | "message" | "sequence" | "timeMs">;

/** Milliseconds between two looks while somebody watches; nobody looks otherwise. */
const pollMs = 500;

/** Rows that a page gets: more than the pixels of a wide screen. */
const mostRows = 10_000;
const keptEvents = 300;

/** Lines that are parsed before other work has its turn: some milliseconds. */
const linesPerTurn = 2000;

/** Follows one run for all who watch it; does nothing while nobody does. */
export class RunFeed {
  readonly #access: RunAccess;
  readonly #tail: LineTail;
  readonly #history = new History();
  readonly #watchers = new Set<(message: FeedMessage) => void>();
  #events: ShownEvent[] = [];
  #lastStatus = "";
  #looking: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(access: RunAccess) {
    this.#access = access;
    this.#tail = new LineTail(access.selected.directory.paths.events);
  }

  get access(): RunAccess {
    return this.#access;
  }

  /** The whole history, read up to now. */
  async history(): Promise<HistoryChange> {
    await this.#look();
    return this.#history.all(mostRows);
  }

  /** Sends everything so far and then each change, until the returned function is called. */
  async watch(send: (message: FeedMessage) => void): Promise<() => void> {
    await this.#look();
    const status = await this.#access.status();
    send({ whole: true, status, history: this.#history.all(mostRows), events: this.#events });
    this.#watchers.add(send);
    this.#timer ??= setInterval(() => void this.#look().catch(() => {}), pollMs);
    return () => {
      this.#watchers.delete(send);
      if (this.#watchers.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#access.close();
    };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watchers.clear();
    this.#access.close();
  }

  /** Reads on, one reader at a time. */
  #look(): Promise<void> {
    this.#looking = this.#looking.catch(() => {}).then(() => this.#read());
    return this.#looking;
  }

  async #read(): Promise<void> {
    const lines = (await exists(this.#access.selected.directory.paths.events)) ? await this.#tail.read(false) : [];
    for (let at = 0; at === 0 || at < lines.length; at += linesPerTurn) {
      if (at > 0) await new Promise((resolve) => setImmediate(resolve));
      const events = lines.slice(at, at + linesPerTurn).flatMap(parseEvent);
      const history = this.#history.add(events);
      const shown = events.filter(isShown).map(shownEvent);
      this.#events = [...this.#events, ...shown].slice(-keptEvents);
      await this.#tell(history, shown);
    }
  }

  async #tell(history: HistoryChange, events: readonly ShownEvent[]): Promise<void> {
    // Who comes while the status is asked for gets the change with the whole.
    const watchers = [...this.#watchers];
    if (watchers.length === 0) return;
    const status = await this.#access.status();
    const text = JSON.stringify(status);
    const silent = history.rows.length + history.evaluations.length + history.marks.length + events.length === 0;
    if (silent && text === this.#lastStatus) return;
    this.#lastStatus = text;
    for (const send of watchers) send({ whole: false, status, history, events });
  }
}

/** Steps are in the curves; the progress of reading a data set is in the status. */
function isShown({ data, kind }: RunEvent): boolean {
  return kind !== "step" && !(kind === "data" && data["done"] !== undefined);
}

function shownEvent({ kind, message, sequence, timeMs }: RunEvent): ShownEvent {
  return { sequence, timeMs, kind, message };
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
