/** How a place's process ended. */
export interface PlaceExit {
  readonly exitCode: number;
  readonly signal: string;
}

export type RestartDecision =
  | { readonly kind: "restart"; readonly reason: string }
  | { readonly kind: "ignore"; readonly reason: string }
  | { readonly kind: "fail"; readonly reason: string };

/** Decides what follows the end of a worker process. `restarts` counts those of the whole run so far. */
export function decideRestart(
  exit: PlaceExit,
  run: { readonly over: boolean; readonly restarts: number; readonly maxRestarts: number },
): RestartDecision {
  const how = exit.signal ? `was ended by ${exit.signal}` : `ended with exit code ${exit.exitCode}`;
  if (run.over) return { kind: "ignore", reason: `It ${how}; the run is over.` };
  if (exit.exitCode === 0) return { kind: "ignore", reason: "It has done its work." };
  if (run.restarts >= run.maxRestarts) {
    return { kind: "fail", reason: `It ${how}, and --max-restarts ${run.maxRestarts} is used up.` };
  }
  return { kind: "restart", reason: `It ${how}; restart ${run.restarts + 1} of ${run.maxRestarts}.` };
}
