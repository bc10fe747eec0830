import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** Where everything that outlives a process is kept: `COORD_HOME`, by default `~/.coord`. */
export function coordHome(environment: NodeJS.ProcessEnv = process.env): string {
  return resolve(environment["COORD_HOME"] || join(homedir(), ".coord"));
}

/** Files of one run. */
export interface RunPaths {
  readonly root: string;
  /** The run's resolved configuration. */
  readonly run: string;
  /** Credentials of agents and workers: a token and, with TLS, certificates and a key. Mode 0600, like those below. */
  readonly token: string;
  /** Credentials of who looks at the run. */
  readonly viewerToken: string;
  /** Credentials of who steers it. */
  readonly adminToken: string;
  /** Certificate and key of the coordinator, of the run's own authority. */
  readonly tls: string;
  /** Address and identity of the coordinator, written once it listens. */
  readonly coordinator: string;
  /** The newest membership epoch. */
  readonly generation: string;
  /** Process records, for `coord kill-stale`. */
  readonly processes: string;
  readonly logs: string;
  readonly events: string;
  readonly metrics: string;
  /** Address of the run's web page, where it has one. */
  readonly dashboard: string;
  /** How the run ended. */
  readonly result: string;
  /** Number of the run's Slurm job. */
  readonly slurmJob: string;
  /** What sbatch got. */
  readonly slurmScript: string;
  /** There when kill-stale has dealt with the run's other hosts. */
  readonly hostsCleared: string;
}

export function runPaths(home: string, runId: string): RunPaths {
  const root = join(home, "runs", runId);
  return {
    root,
    run: join(root, "run.json"),
    token: join(root, "token"),
    viewerToken: join(root, "viewer-token"),
    adminToken: join(root, "admin-token"),
    tls: join(root, "tls.pem"),
    coordinator: join(root, "coordinator.json"),
    generation: join(root, "generation"),
    processes: join(root, "processes"),
    logs: join(root, "logs"),
    events: join(root, "events.jsonl"),
    metrics: join(root, "metrics.jsonl"),
    dashboard: join(root, "dashboard.json"),
    result: join(root, "result.json"),
    slurmJob: join(root, "slurm-job"),
    slurmScript: join(root, "slurm.sh"),
    hostsCleared: join(root, "hosts-cleared"),
  };
}

/**
 * Where the processes of a run on one host exchange gradients: in `COORD_SHM_DIR`, by default the host's shared memory.
 * Runs of the same name in another home have another directory.
 */
export function sharedMemoryDirectory(home: string, runId: string, environment = process.env): string {
  const place = createHash("sha256").update(realHome(home)).digest("hex").slice(0, 12);
  return join(resolve(environment["COORD_SHM_DIR"] || "/dev/shm"), `coord-${runId}-${place}`);
}

/** One name for a home, however it was reached. */
function realHome(home: string): string {
  try {
    return realpathSync(home);
  } catch {
    return resolve(home);
  }
}

/** Directory of one worker's output, as torchrun lays it out. */
export function workerLogDirectory(logs: string, attempt: number, rank: number): string {
  return join(logs, `attempt_${attempt}`, String(rank));
}
