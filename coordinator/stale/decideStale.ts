import type { ProcessIdentity } from "../../shared/process/identity.ts";
import type { ProcessRecord, ProcessRole } from "../../shared/process/record.ts";

/** A running process that was started with a COORD_RUN_ID. */
export interface ObservedProcess {
  readonly identity: ProcessIdentity;
  readonly ownerUid: number | undefined;
  /** COORD_RUN_ID and COORD_HOME (as a real path) of its environment. */
  readonly runId: string | undefined;
  readonly home: string | undefined;
  /** What its command line starts, when that is one of our entry files. */
  readonly entry: ProcessRole | undefined;
  /** False for a process of a container, whose COORD_HOME is another directory of the same name. */
  readonly sameNamespace: boolean;
  readonly ageMs: number;
}

/**
 * Whether a run's coordinator lives: the recorded one or the holder of the run's lock is alive; whoever is recorded is
 * gone; nobody is recorded here, as on a node whose coordinator runs on another host.
 */
export type RunOwner = "alive" | "gone" | "unknown";

export interface StaleObservations<P extends ObservedProcess = ObservedProcess> {
  /** This process: what it must never end, and what it may. */
  readonly self: {
    readonly pid: number;
    readonly ancestors: readonly number[];
    readonly uid: number;
    readonly home: string;
  };
  readonly processes: readonly P[];
  readonly owners: ReadonlyMap<string, RunOwner>;
  /** End processes of live runs too. */
  readonly allRuns: boolean;
  /** Look at this run only. */
  readonly runId?: string | undefined;
}

export interface StaleDecision<P extends ObservedProcess = ObservedProcess> {
  readonly process: P;
  /** Undefined when the process is not provably ours. */
  readonly role: ProcessRole | undefined;
  readonly record: ProcessRecord | undefined;
  readonly action: "end" | "spare";
  readonly reason: string;
}

/** Age in milliseconds below which a coordinator may be about to take its run's lock. */
export const startingMs = 10_000;

/** Decides which processes are what dead runs left behind, and says why of each. */
export function decideStale<P extends ObservedProcess>(
  records: readonly ProcessRecord[],
  observations: StaleObservations<P>,
): StaleDecision<P>[] {
  const recordOf = new Map(records.map((record) => [identityKey(record.identity), record]));
  return observations.processes.map((process) => {
    const record = recordOf.get(identityKey(process.identity));
    const stranger = whyStranger(process, record, observations);
    if (stranger !== undefined)
      return { process, role: undefined, record: undefined, action: "spare", reason: stranger };
    const role = record?.role ?? process.entry;
    return { process, role, record, ...judge(process, role, observations) };
  });
}

/** Says why a process is not provably ours to end; undefined when it is. */
function whyStranger(
  { identity, ownerUid, runId, home, entry, sameNamespace }: ObservedProcess,
  record: ProcessRecord | undefined,
  { self }: StaleObservations,
): string | undefined {
  const { pid } = identity;
  if (pid <= 1) return "it is the system's first process";
  if (pid === self.pid || self.ancestors.includes(pid)) return "it is this command, or what started it";
  if (ownerUid !== self.uid) return "it is another user's";
  if (!sameNamespace) return "it runs in a container";
  if (runId === undefined) return "it was not started for a run";
  if (home !== undefined && home !== self.home) return "it belongs to another COORD_HOME";
  if (record !== undefined) return record.runId === runId ? undefined : "its record names another run";
  // Without a record only the whole picture counts: home, run and one of our programs.
  if (home === undefined) return "it has no record and no COORD_HOME";
  return entry === undefined ? "it has no record and is none of coord's programs" : undefined;
}

function judge(
  { runId, ageMs }: ObservedProcess,
  role: ProcessRole | undefined,
  { allRuns, owners, runId: wanted }: StaleObservations,
): Pick<StaleDecision, "action" | "reason"> {
  if (wanted !== undefined && runId !== wanted) return { action: "spare", reason: `only run ${wanted} was asked for` };
  if (allRuns) return { action: "end", reason: "all runs were asked for" };
  switch (owners.get(runId!) ?? "unknown") {
    case "alive":
      return { action: "spare", reason: `run ${runId} is live` };
    case "unknown":
      return {
        action: "spare",
        reason: `run ${runId} has no coordinator on record here; it may run on another host (--all-runs ends it)`,
      };
    case "gone":
      if (role === "coordinator" && ageMs < startingMs) {
        return { action: "spare", reason: `it is just starting to continue run ${runId}` };
      }
      return { action: "end", reason: `the coordinator of run ${runId} is gone` };
  }
}

function identityKey({ pid, startTime, bootId }: ProcessIdentity): string {
  return `${pid} ${startTime} ${bootId}`;
}
