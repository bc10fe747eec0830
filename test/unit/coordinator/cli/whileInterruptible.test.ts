import { expect, it } from "vitest";
import type { CommandContext } from "../../../../coordinator/cli/command.ts";
import { whileInterruptible } from "../../../../coordinator/cli/whileInterruptible.ts";
import type { ViewSignal } from "../../../../coordinator/observe/decideOnSignal.ts";

/** Work that ends only when it is cancelled, which `signal` does. */
async function cancelledBy(signal: ViewSignal) {
  let send: (signal: ViewSignal) => void = () => {};
  let listening = true;
  const context = {
    onSignal(listener: (signal: ViewSignal) => void) {
      send = listener;
      return () => {
        listening = false;
      };
    },
  } as unknown as CommandContext;
  const work = whileInterruptible(context, async (cancelled) => {
    send(signal);
    cancelled.throwIfAborted();
    return "done";
  });
  const outcome = await work.catch((error: unknown) => error);
  return { outcome, listening };
}

it("Ctrl-C ends work with STOPPED, exit code 130", async () => {
  const { outcome, listening } = await cancelledBy("SIGINT");
  expect(outcome).toMatchObject({ code: "STOPPED", exitCode: 130, message: "Stopped before the run had started." });
  expect(listening).toBe(false);
});

it("SIGTERM ends work with TERMINATED, exit code 75", async () => {
  expect((await cancelledBy("SIGTERM")).outcome).toMatchObject({ code: "TERMINATED", exitCode: 75 });
});

it("a closed terminal does not end work", async () => {
  expect((await cancelledBy("SIGHUP")).outcome).toBe("done");
});
