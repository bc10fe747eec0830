import { readdirSync, readFileSync } from "node:fs";

/** Ends all processes of a run with SIGKILL, as a power cut would; returns how many there were. */
export async function killEverything(runId: string): Promise<number> {
  const pids = processesOf(runId);
  for (const pid of pids) process.kill(pid, "SIGKILL");
  return pids.length;
}

/** Processes whose environment names the run, read from /proc without the code under test. */
export function processesOf(runId: string): number[] {
  return processesWith(`COORD_RUN_ID=${runId}`);
}

/** A run's agent and workers on one of its nodes, agents by their command line, workers by their rank. */
export function processesOfNode(runId: string, nodeRank: number): number[] {
  const words = new RegExp(`^[^\\0]*node\\0.*agentMain.*\\0--node-rank\\0${nodeRank}\\0`);
  const isAgent = (pid: number) => words.test(commandLine(pid));
  return processesOf(runId).filter((pid) => isAgent(pid) || environment(pid).includes(`GROUP_RANK=${nodeRank}`));
}

/** The words that a process was started with, each with a NUL behind it. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Processes that were started with `NAME=value` in their environment. */
export function processesWith(variable: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => environment(pid).includes(variable) && !isZombie(pid));
}

/** The variables that a process was started with, as NAME=value. */
export function environment(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return [];
  }
}

function isZombie(pid: number): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8").slice(0, 200));
  } catch {
    return true;
  }
}
