/**
 * Whose a log file is, by its path below the run's logs directory: `coordinator.log`, `agent_<node>.log` and
 * `attempt_<k>/<rank>/{stdout,stderr}.log`. Undefined for files that are none of these.
 */
export interface LogSource {
  /** Shown in front of each line. */
  readonly label: string;
  readonly rank?: number;
}

export function logSource(path: string): LogSource | undefined {
  const worker = /^attempt_(\d+)\/(\d+)\/(?:stdout|stderr)\.log$/.exec(path);
  if (worker !== null) {
    const [attempt, rank] = [Number(worker[1]), Number(worker[2])];
    return { label: attempt === 0 ? `rank ${rank}` : `rank ${rank}, attempt ${attempt}`, rank };
  }
  const agent = /^agent_(\d+)\.log$/.exec(path);
  if (agent !== null) return { label: `agent ${agent[1]}` };
  return path === "coordinator.log" ? { label: "coordinator" } : undefined;
}
