import { type PlaceExit, retryRuleFor } from "./retryRules.ts";

export type RestartDecision =
  /** Start again, `delayMs` milliseconds from now. */
  | { readonly kind: "restart"; readonly delayMs: number; readonly reason: string }
  | { readonly kind: "ignore"; readonly reason: string }
  | { readonly kind: "fail"; readonly reason: string };

/** Milliseconds that a node's second failure without a step in between is cooled down for; each further one doubles it. */
const coolDownMs = 1000;
const maxCoolDownMs = 60_000;

/**
 * Decides what follows the end of a worker process. `restarts` counts those of the whole run within the window,
 * `failuresInARow` those of the node since its workers last took part in a committed step, this one not counted.
 */
export function decideRestart(
  exit: PlaceExit,
  run: {
    readonly over: boolean;
    readonly restarts: number;
    readonly maxRestarts: number;
    readonly failuresInARow?: number;
  },
): RestartDecision {
  const how = describeEnd(exit);
  if (run.over) return { kind: "ignore", reason: `It ${how}; the run is over.` };
  if (exit.exitCode === 0) return { kind: "ignore", reason: "It has done its work." };
  const rule = retryRuleFor(exit);
  if (rule?.decision === "give up") {
    return { kind: "fail", reason: `It ${how} and is not started again. ${rule.meaning}` };
  }
  if (run.restarts >= run.maxRestarts) {
    return { kind: "fail", reason: `It ${how}, and --max-restarts ${run.maxRestarts} is used up.` };
  }
  const delayMs = coolDown(run.failuresInARow ?? 0);
  const after = delayMs > 0 ? ` after ${delayMs / 1000} s` : "";
  return { kind: "restart", delayMs, reason: `It ${how}; restart ${run.restarts + 1} of ${run.maxRestarts}${after}.` };
}

/** "was ended by SIGKILL", "ended with exit code 1". */
export function describeEnd({ exitCode, signal }: PlaceExit): string {
  return signal ? `was ended by ${signal}` : `ended with exit code ${exitCode}`;
}

function coolDown(failuresInARow: number): number {
  return failuresInARow === 0 ? 0 : Math.min(maxCoolDownMs, coolDownMs * 2 ** (failuresInARow - 1));
}
