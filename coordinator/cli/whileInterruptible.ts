import { CoordError } from "../../shared/errors.ts";
import type { CommandContext } from "./command.ts";

/**
 * Does work that Ctrl-C or SIGTERM cancels. A closed terminal does not: what is being started shall run without one.
 * `before` says, for the message, what has not come about.
 */
export async function whileInterruptible<T>(
  context: CommandContext,
  work: (signal: AbortSignal) => Promise<T>,
  before = "the run had started",
): Promise<T> {
  const controller = new AbortController();
  const unsubscribe = context.onSignal((signal) => {
    if (signal === "SIGINT") controller.abort(new CoordError("STOPPED", `Stopped before ${before}.`));
    else if (signal === "SIGTERM") controller.abort(new CoordError("TERMINATED", `Asked to end before ${before}.`));
  });
  try {
    return await work(controller.signal);
  } finally {
    unsubscribe();
  }
}
