import { access } from "node:fs/promises";
import { type Clock, systemClock } from "../../shared/clock.ts";
import type { RunEvent } from "./eventLog.ts";
import { LineTail } from "./lineTail.ts";

export interface FollowEventsOptions {
  /** events.jsonl of the run. */
  readonly path: string;
  /** Asked between two looks: goes on while it answers true. */
  readonly isGoingOn: () => Promise<boolean>;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

const pollMs = 300;

/** Yields the events that the file holds, then what it grows by, until the run has ended. */
export async function* followEvents(options: FollowEventsOptions): AsyncGenerator<RunEvent[]> {
  const { clock = systemClock, isGoingOn, path, signal } = options;
  const tail = new LineTail(path);
  for (let goesOn = true; goesOn && !signal.aborted; ) {
    // Asked before looking, so that the last look comes after the end.
    goesOn = await isGoingOn();
    const written = await access(path).then(
      () => true,
      () => false,
    );
    const events = written ? (await tail.read(false)).flatMap(parseEvent) : [];
    if (events.length > 0) yield events;
    if (goesOn) await clock.sleep(pollMs, signal).catch(() => undefined);
  }
}

/** All events of a run so far; none where the file is missing. */
export async function readEvents(path: string): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  const follow = { path, isGoingOn: async () => false, signal: new AbortController().signal };
  for await (const batch of followEvents(follow)) events.push(...batch);
  return events;
}

/** The event of a line; nothing for one that a crash has cut off. */
export function parseEvent(line: string): RunEvent[] {
  try {
    const event = JSON.parse(line) as RunEvent;
    return typeof event.kind === "string" && typeof event.timeMs === "number" ? [event] : [];
  } catch {
    return [];
  }
}
