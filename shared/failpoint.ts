import { closeSync, openSync } from "node:fs";

/** Points at which a test can have a process killed. */
export type Failpoint =
  // A worker's step, in order.
  | "step-begun"
  | "gradient-computed"
  | "gradient-uploaded"
  // In shared memory between the two around it.
  | "slots-written"
  | "share-summed"
  | "sum-downloaded"
  | "update-computed"
  | "step-committed"
  // Of the member that hands its state over, while the next step is computed.
  | "state-uploading"
  | "state-half-uploaded"
  | "evaluation-begun"
  // The coordinator's, in order.
  | "generation-written"
  | "round-complete"
  | "commit-decided"
  | "state-arriving"
  | "checkpoint-due";

/** Faults that a test can have a worker commit, other than dying. */
export type Fault = "gradient-nan" | "parameters-differ";

interface Plan {
  readonly point: string;
  readonly step: number;
  /** Worker id, or "coordinator". */
  readonly who: string;
  readonly marker: string;
}

const plan = readPlan(process.env["COORD_FAILPOINT"], process.env["COORD_FAILPOINT_MARKER"]);

/**
 * Does nothing, unless COORD_FAILPOINT is `POINT@STEP@WHO` and this is that point, step and process: then the process
 * ends by SIGKILL, as by a power cut, once per marker file (COORD_FAILPOINT_MARKER), however often it is started again; each time with the marker "always".
 */
export function failpoint(point: Failpoint, step: number, who: string): void {
  if (!fires(point, step, who)) return;
  process.kill(process.pid, "SIGKILL");
  // The signal is delivered before anything else can happen on this thread, but not necessarily before this returns.
  for (;;);
}

/** True, once, where COORD_FAILPOINT names this fault, step and process. */
export function faultInjected(fault: Fault, step: number, who: string): boolean {
  return fires(fault, step, who);
}

/** Milliseconds that each step of worker `who`, or each save, is to be held up (COORD_FAILPOINT=slow@MS@WHO); 0 for not. */
export function injectedDelayMs(who: string): number {
  return plan?.point === "slow" && plan.who === who ? plan.step : 0;
}

function fires(point: string, step: number, who: string): boolean {
  if (plan?.point !== point || plan.step !== step || plan.who !== who) return false;
  if (plan.marker === "always") return true;
  try {
    closeSync(openSync(plan.marker, "wx"));
    return true;
  } catch {
    return false;
  }
}

function readPlan(text: string | undefined, marker: string | undefined): Plan | undefined {
  const [point, step, who] = text?.split("@") ?? [];
  return point && step && who && marker ? { point, step: Number(step), who, marker } : undefined;
}
