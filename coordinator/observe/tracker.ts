import type { RunEvent } from "./eventLog.ts";

export type TrackerEnd = "finished" | "stopped" | "failed";

/** Something that wants a run's figures as they come. */
export interface Tracker {
  /** Must not wait: it is called between two steps. */
  add(event: RunEvent): void;
  /** Sends what is left; never throws. */
  close(end: TrackerEnd): Promise<void>;
}
