import { type Clock, systemClock } from "../../shared/clock.ts";
import { CoordError, toCoordError } from "../../shared/errors.ts";
import type { WatchResponse } from "../../shared/gen/coord/v1/run_pb.ts";
import { decideOnSignal, type SignalState, type Viewer, type ViewSignal } from "./decideOnSignal.ts";
import { isFinalState } from "./runStateName.ts";
import type { RunView } from "./runView.ts";
import { emptyModel, updateModel, type ViewModel } from "./viewModel.ts";

/** What following needs of a run. */
export interface FollowedRun {
  watch(from: bigint, signal: AbortSignal): AsyncIterable<WatchResponse>;
  stop(now: boolean): Promise<void>;
  /** True when the run has left its result. */
  hasResult(): Promise<boolean>;
  /** True while the coordinator's process lives. */
  isAlive(): Promise<boolean>;
}

export interface FollowOptions {
  readonly run: FollowedRun;
  readonly view: RunView;
  readonly viewer: Viewer;
  /** Calls the listener for each signal until the returned function is called. */
  readonly onSignal: (listener: (signal: ViewSignal) => void) => () => void;
  /** Events before this wall-clock time shape the figures but are not shown one by one. */
  readonly showFromMs?: number;
  readonly clock?: Clock;
}

/** How following came to its end. */
export type FollowEnd =
  /** The run has ended. */
  | { readonly kind: "ended"; readonly model: ViewModel; readonly exitCode?: number }
  /** The view ends, the run may go on. */
  | { readonly kind: "left"; readonly model: ViewModel; readonly exitCode: number }
  /** The coordinator is gone and left no result. */
  | { readonly kind: "died"; readonly model: ViewModel };

/** Time that a dead coordinator's run has to bring forth a new one, in milliseconds. */
const restartMs = 10_000;

/** Pause before a cut connection to a living coordinator is tried again. */
const retryMs = 500;

/** Shows a run until it ends, its coordinator dies or a signal ends the view; signals are passed on as wishes. */
export async function followRun(options: FollowOptions): Promise<FollowEnd> {
  const { run, view, viewer, clock = systemClock } = options;
  const leaving = new AbortController();
  let state: SignalState = "watching";
  let exitCode: number | undefined;
  let model = emptyModel;
  let next = 1n;
  let deadMs = 0;

  async function ask(now: boolean): Promise<void> {
    try {
      await run.stop(now);
    } catch (thrown) {
      // A coordinator that ends at once hangs up instead of answering.
      if (await run.isAlive()) view.notice(`The run was not told: ${toCoordError(thrown).message}`);
    }
  }
  const unsubscribe = options.onSignal((signal) => {
    const decision = decideOnSignal(state, signal, viewer);
    state = decision.state;
    exitCode = decision.exitCode ?? exitCode;
    if (decision.message !== "") view.notice(decision.message);
    if (decision.action === "stop") void ask(false);
    else if (decision.action === "stopNow") void ask(true).finally(() => leaving.abort());
    else if (decision.action === "leave") leaving.abort();
  });

  async function watchOnce(): Promise<void> {
    for await (const response of run.watch(next, leaving.signal)) {
      model = updateModel(model, response);
      const { event } = response;
      if (event !== undefined) next = event.sequence + 1n;
      const isNew = event !== undefined && Number(event.timeMs) >= (options.showFromMs ?? 0);
      // Why the run has failed is said once, in the summary.
      const isRootCause = event?.message === model.failure?.message;
      view.update(model, isNew && !isRootCause ? event : undefined);
    }
  }

  try {
    for (;;) {
      const cut = await watchOnce().catch(connectionError);
      if (leaving.signal.aborted) return { kind: "left", model, exitCode: exitCode ?? 0 };
      const alive = await run.isAlive();
      // Asked in this order, a result that is written between the two questions is not missed.
      if (isFinalState(model.state) || (await run.hasResult())) {
        return { kind: "ended", model, ...(exitCode === undefined ? {} : { exitCode }) };
      }
      // An agent of the run starts a dead coordinator again; give it the time that takes.
      deadMs = alive ? 0 : deadMs + retryMs;
      if (deadMs > restartMs) return { kind: "died", model };
      if (alive && cut !== undefined && !cut.retryable) throw cut;
      await clock.sleep(retryMs, leaving.signal).catch(() => undefined);
    }
  } finally {
    unsubscribe();
  }
}

/** What cut the stream; anything but a catalogue error is a defect of ours and is thrown on. */
function connectionError(thrown: unknown): CoordError | undefined {
  if (thrown instanceof CoordError) return thrown;
  if (thrown instanceof Error && thrown.name === "AbortError") return undefined;
  throw thrown;
}
