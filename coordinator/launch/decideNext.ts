/** What is known of a node while the run goes on. */
export interface NodeView {
  /**
   * The agent before: there was none yet; it ended; it was connected, and only the way to it broke, so that it may still
   * be there; or an earlier coordinator, which crashed, may have left one.
   */
  earlier: "none" | "ended" | "connected before" | "perhaps left behind";
  /** Milliseconds since the agent was last connected to the coordinator, or since the connection that started it ended. */
  absentMs: number;
}

/** Milliseconds that an agent whose launcher has lost it has to come back by itself. */
export const patienceMs = 15_000;

/** Decides what a launcher does about a node on which it has no agent at work. */
export function decideNext({ absentMs, earlier }: NodeView): "wait" | "start" | "start again" {
  switch (earlier) {
    case "none":
      return "start";
    case "ended":
      return "start again";
    case "connected before":
      return absentMs < patienceMs ? "wait" : "start again";
    case "perhaps left behind":
      return absentMs < patienceMs ? "wait" : "start";
  }
}
