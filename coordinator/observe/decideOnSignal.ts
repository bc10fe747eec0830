import { assertNever } from "../../shared/errors.ts";

/** The signals that an attached view understands; each is another wish. */
export type ViewSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** What the view has asked the run for so far. */
export type SignalState =
  /** Nothing. */
  | "watching"
  /** To stop after a checkpoint. */
  | "stopping"
  /** To end at once. */
  | "ending";

/** What to do about a signal. */
export type SignalAction =
  /** Nothing. */
  | "none"
  /** Ask the run to stop after a checkpoint, and keep watching. */
  | "stop"
  /** Ask the run to end at once, then leave. */
  | "stopNow"
  /** End the view; the run goes on. */
  | "leave";

export interface SignalDecision {
  readonly state: SignalState;
  readonly action: SignalAction;
  /** Exit code of the command that follows from the signal; undefined when the run's own end decides. */
  readonly exitCode?: number;
  /** What to tell the user; empty for nothing. */
  readonly message: string;
}

/** Who watches, and where. */
export interface Viewer {
  /** True for the command that started or resumed the run: its Ctrl-C is meant for the run. */
  readonly owner: boolean;
  /** True when the view is drawn on a terminal, false for a file or a pipe. */
  readonly terminal: boolean;
  readonly runId: string;
}

/** Decides what a signal means for the run and for the view. */
export function decideOnSignal(state: SignalState, signal: ViewSignal, viewer: Viewer): SignalDecision {
  switch (signal) {
    case "SIGINT":
      return viewer.owner ? interrupt(state, viewer) : leave(state, 0, viewer);
    case "SIGTERM":
      return viewer.owner ? terminate(state) : leave(state, 0, viewer);
    case "SIGHUP":
      // Without a terminal of our own the view writes to a file (nohup, a scheduler's log), which still wants its lines.
      return viewer.terminal
        ? { state, action: "leave", exitCode: 129, message: "" }
        : { state, action: "none", message: "" };
    default:
      return assertNever(signal);
  }
}

function interrupt(state: SignalState, { runId }: Viewer): SignalDecision {
  switch (state) {
    case "watching":
      return {
        state: "stopping",
        action: "stop",
        message: "Stopping after a checkpoint (Ctrl-C again to stop at once).",
      };
    case "stopping":
      return {
        state: "ending",
        action: "stopNow",
        exitCode: 130,
        message: `Stopping at once; coord resume ${runId} continues from the newest checkpoint.`,
      };
    case "ending":
      return { state, action: "leave", exitCode: 130, message: "" };
    default:
      return assertNever(state);
  }
}

/** A scheduler or service manager wants its host back: save what there is, and say that it is worth coming again. */
function terminate(state: SignalState): SignalDecision {
  if (state !== "watching") return { state, action: "none", exitCode: 75, message: "" };
  return { state: "stopping", action: "stop", exitCode: 75, message: "Asked to end: stopping after a checkpoint." };
}

function leave(state: SignalState, exitCode: number, { runId }: Viewer): SignalDecision {
  return { state, action: "leave", exitCode, message: `The run goes on; coord stop ${runId} ends it.` };
}
