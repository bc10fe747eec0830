import { describe, expect, it } from "vitest";
import type { ViewSignal } from "../../../../coordinator/observe/decideOnSignal.ts";
import { type FollowedRun, followRun } from "../../../../coordinator/observe/followRun.ts";
import type { RunView } from "../../../../coordinator/observe/runView.ts";
import { CoordError } from "../../../../shared/errors.ts";
import { RunState, type WatchResponse } from "../../../../shared/gen/coord/v1/run_pb.ts";
import { response, startMs } from "./literals.ts";

const step = (sequence: bigint, state = RunState.TRAINING, timeMs = startMs) =>
  response({ kind: "step", sequence, timeMs, data: { step: Number(sequence), loss: 2 } }, { state, step: sequence });

const unreachable = new CoordError("COORDINATOR_UNREACHABLE", "The coordinator does not answer.");
const clock = { monotonicMs: () => 0, wallMs: () => 0, sleep: () => Promise.resolve() };

type Part = WatchResponse | Error | ViewSignal | "wait";

/** A run whose n-th watch yields the n-th script: messages, an error to throw, a signal that arrives, or waiting. */
function scripted(scripts: Part[][], facts: { result?: boolean; alive?: boolean[] } = {}) {
  const calls: string[] = [];
  const notices: string[] = [];
  const shown: bigint[] = [];
  const listeners = new Set<(signal: ViewSignal) => void>();
  const alive = [...(facts.alive ?? [])];
  let watched = 0;
  const run: FollowedRun = {
    async *watch(from, signal) {
      calls.push(`watch ${from}`);
      for (const part of scripts[watched++] ?? []) {
        if (part instanceof Error) throw part;
        if (part === "wait") {
          if (!signal.aborted)
            await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
          signal.throwIfAborted();
        } else if (typeof part === "string") for (const listener of listeners) listener(part);
        else yield part;
      }
    },
    async stop(now) {
      calls.push(`stop ${now}`);
    },
    hasResult: async () => facts.result ?? false,
    isAlive: async () => alive.shift() ?? false,
  };
  const view: RunView = {
    update: (_, event) => void (event && shown.push(event.sequence)),
    notice: (message) => void notices.push(message),
    close() {},
  };
  const onSignal = (listener: (signal: ViewSignal) => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };
  const follow = (owner = true, showFromMs = 0) =>
    followRun({ run, view, viewer: { owner, terminal: true, runId: "r" }, onSignal, clock, showFromMs });
  return { follow, calls, notices, shown, listeners };
}

describe("followRun", () => {
  it("follows from the first event until the run has ended", async () => {
    const { follow, calls, shown, listeners } = scripted([
      [response(undefined), step(1n), step(2n, RunState.FINISHED)],
    ]);
    expect(await follow()).toMatchObject({ kind: "ended", model: { state: "finished", step: 2 } });
    expect(calls).toEqual(["watch 1"]);
    expect(shown).toEqual([1n, 2n]);
    expect(listeners.size).toBe(0);
  });

  it("takes a cut connection up again after the last event while the coordinator lives", async () => {
    const { follow, calls } = scripted([[step(1n), step(2n), unreachable], [], [step(3n, RunState.FINISHED)]], {
      alive: [true, true],
    });
    expect(await follow()).toMatchObject({ kind: "ended" });
    expect(calls).toEqual(["watch 1", "watch 3", "watch 3"]);
  });

  it("says that the coordinator died when it is gone without a result", async () => {
    const { follow } = scripted([[step(1n), unreachable]]);
    expect(await follow()).toMatchObject({ kind: "died", model: { step: 1 } });
  });

  it("takes a result for the end even though the stream broke", async () => {
    const { follow } = scripted([[step(1n), unreachable]], { result: true });
    expect(await follow()).toMatchObject({ kind: "ended", model: { step: 1 } });
  });

  it("does not insist where the coordinator refuses", async () => {
    const refusal = new CoordError("UNAUTHENTICATED", "The run's token is wrong.");
    await expect(scripted([[refusal]], { alive: [true] }).follow()).rejects.toBe(refusal);
  });

  it("keeps watching after the first Ctrl-C until the run has stopped", async () => {
    const { follow, calls, notices } = scripted([[step(1n), "SIGINT", step(2n, RunState.STOPPED)]]);
    expect(await follow()).toMatchObject({ kind: "ended", model: { state: "stopped" } });
    expect(calls).toEqual(["watch 1", "stop false"]);
    expect(notices).toEqual(["Stopping after a checkpoint (Ctrl-C again to stop at once)."]);
  });

  it("ends the run and leaves with 130 at the second Ctrl-C", async () => {
    const { follow, calls } = scripted([[step(1n), "SIGINT", "SIGINT", "wait"]]);
    expect(await follow()).toMatchObject({ kind: "left", exitCode: 130 });
    expect(calls).toEqual(["watch 1", "stop false", "stop true"]);
  });

  it("leaves the run alone when the terminal closes or a visitor goes", async () => {
    const closed = scripted([[step(1n), "SIGHUP", "wait"]]);
    expect(await closed.follow()).toMatchObject({ kind: "left", exitCode: 129 });
    const visitor = scripted([[step(1n), "SIGINT", "wait"]]);
    expect(await visitor.follow(false)).toMatchObject({ kind: "left", exitCode: 0 });
    expect([...closed.calls, ...visitor.calls]).toEqual(["watch 1", "watch 1"]);
  });

  it("carries the exit code of SIGTERM to the end", async () => {
    const { follow } = scripted([["SIGTERM", step(1n, RunState.STOPPED)]]);
    expect(await follow()).toMatchObject({ kind: "ended", exitCode: 75 });
  });

  it("shows old news in the figures only", async () => {
    const old = step(1n, RunState.TRAINING, startMs - 1);
    const { follow, shown } = scripted([[old, step(2n, RunState.FINISHED)]]);
    expect(await follow(true, startMs)).toMatchObject({ model: { firstLoss: { step: 1 } } });
    expect(shown).toEqual([2n]);
  });

  it("leaves the reason of a failure to the summary", async () => {
    const message = "The disk is full.";
    const error = response({ kind: "error", sequence: 2n, message });
    const state = response({ kind: "state", sequence: 3n, message }, { state: RunState.FAILED });
    const { follow, shown } = scripted([[step(1n), error, state]]);
    expect(await follow()).toMatchObject({ kind: "ended", model: { failure: { message } } });
    expect(shown).toEqual([1n]);
  });
});
