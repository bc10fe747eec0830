import { toCoordError } from "../../shared/errors.ts";

/** What to print on standard error for something thrown, and the exit code that follows from it. */
export function reportError(thrown: unknown, debug: boolean): { text: string; exitCode: number } {
  const error = toCoordError(thrown);
  const lines = [`coord: ${error.message}`];
  if (debug) lines.push(`${error.code} (ERRORS.md)`, ...stackTraces(error));
  else if (error.code === "INTERNAL") lines.push("This is a defect in coord; --debug shows where it happened.");
  return { text: `${lines.join("\n")}\n`, exitCode: error.exitCode };
}

/** The stack of an error and of everything that caused it. */
function stackTraces(error: Error): string[] {
  const traces: string[] = [];
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    traces.push(current.stack ?? current.message);
  }
  return traces;
}
