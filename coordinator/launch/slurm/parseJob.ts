/** A Slurm job, as people want to see it. */
export interface SlurmJob {
  readonly id: string;
  /** Slurm's own word: PENDING, RUNNING, COMPLETED, … */
  readonly state: string;
  /** Nodes in Slurm's form, "n[1-2]"; empty while it waits. */
  readonly nodes: string;
  /** Why it waits: Resources, Priority, BeginTime, …; empty otherwise. */
  readonly reason: string;
}

const waiting = new Set(["PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "RESV_DEL_HOLD"]);
const going = new Set(["RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED"]);

/** Reads the line of `squeue --format=%T|%N|%r|%e`; of a job array it is the first. */
export function parseJob(id: string, text: string): SlurmJob | undefined {
  const [state, nodes = "", reason = ""] = text.split(/[\n;]/)[0]!.split("|");
  if (!state) return undefined;
  return { id, state, nodes, reason: reason === "None" ? "" : reason };
}

/** Whether a job waits for its turn, has it, or is over. */
export function phaseOf(job: SlurmJob | undefined): "waiting" | "going" | "over" {
  if (job === undefined) return "over";
  if (waiting.has(job.state)) return "waiting";
  return going.has(job.state) ? "going" : "over";
}

/** "job 12 RUNNING on n[1-2]", "job 12 PENDING (Resources)". */
export function describeJob({ id, nodes, reason, state }: SlurmJob): string {
  const where = nodes === "" ? "" : ` on ${nodes}`;
  return `${id} ${state}${where}${reason === "" ? "" : ` (${reason})`}`;
}
