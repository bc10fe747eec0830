import { describe, expect, it } from "vitest";
import {
  decideOnSignal,
  type SignalState,
  type Viewer,
  type ViewSignal,
} from "../../../../coordinator/observe/decideOnSignal.ts";

const owner: Viewer = { owner: true, terminal: true, runId: "r" };
const visitor: Viewer = { ...owner, owner: false };

function decisions(signals: ViewSignal[], viewer: Viewer) {
  let state: SignalState = "watching";
  return signals.map((signal) => {
    const decision = decideOnSignal(state, signal, viewer);
    state = decision.state;
    return [decision.action, decision.exitCode];
  });
}

describe("decideOnSignal", () => {
  it("asks for a checkpoint at the first Ctrl-C, for an end at the second, and leaves at the third", () => {
    expect(decisions(["SIGINT", "SIGINT", "SIGINT"], owner)).toEqual([
      ["stop", undefined],
      ["stopNow", 130],
      ["leave", 130],
    ]);
  });

  it("says what the next Ctrl-C will do", () => {
    expect(decideOnSignal("watching", "SIGINT", owner).message).toBe(
      "Stopping after a checkpoint (Ctrl-C again to stop at once).",
    );
  });

  it("saves and is worth retrying after SIGTERM, however often it comes", () => {
    expect(decisions(["SIGTERM", "SIGTERM"], owner)).toEqual([
      ["stop", 75],
      ["none", 75],
    ]);
  });

  it("lets the run go on when the terminal closes", () => {
    expect(decisions(["SIGHUP"], owner)).toEqual([["leave", 129]]);
    expect(decisions(["SIGHUP"], visitor)).toEqual([["leave", 129]]);
  });

  it("goes on writing to a file when the terminal closes", () => {
    expect(decisions(["SIGHUP", "SIGINT"], { ...owner, terminal: false })).toEqual([
      ["none", undefined],
      ["stop", undefined],
    ]);
  });

  it.each<ViewSignal>(["SIGINT", "SIGTERM"])("never passes a visitor's %s on to the run", (signal) => {
    const decision = decideOnSignal("watching", signal, visitor);
    expect(decision).toMatchObject({ action: "leave", exitCode: 0, message: "The run goes on; coord stop r ends it." });
  });
});
