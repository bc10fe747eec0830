import { writeFile } from "node:fs/promises";
import { formatHost, type HostEntry, hostsOf } from "../../shared/config/hosts.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { describeSshEnd } from "../launch/ssh/describeSshEnd.ts";
import { remoteCommand } from "../launch/ssh/remoteCommand.ts";
import { runOnHost } from "../launch/ssh/sshSession.ts";
import { runIds } from "../runs/findRun.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import { runLiveness } from "../runs/runLiveness.ts";
import type { StaleReport } from "./staleReport.ts";

/** What was found on another host of a dead run. */
export interface HostStaleReport {
  readonly host: string;
  readonly runId: string;
  /** Absent where the host did not answer. */
  readonly report?: StaleReport;
  readonly problem?: string;
}

/**
 * Ends what dead runs of this COORD_HOME have left on the hosts that they used over ssh. A run is dealt with once: when
 * all of its hosts have answered, later calls leave them alone.
 */
export async function killStaleOnHosts(options: {
  readonly home: string;
  readonly dryRun: boolean;
  /** Look at one run only. */
  readonly runId?: string | undefined;
  readonly signal: AbortSignal;
}): Promise<HostStaleReport[]> {
  const { dryRun, home, runId, signal } = options;
  const reports: HostStaleReport[] = [];
  for (const id of runId === undefined ? await runIds(home) : [runId]) {
    const directory = new RunDirectory(home, id);
    const config = (await directory.readRun().catch(() => undefined))?.config;
    if (config?.launcher !== "ssh" || (await directory.hasClearedHosts())) continue;
    if ((await runLiveness(directory)) !== "dead") continue;
    const words = ["kill-stale", "--run", id, "--all-runs", "--this-host", "--json", ...(dryRun ? ["--dry-run"] : [])];
    const found = await Promise.all(hostsOf(config).map((host) => askHost(host, id, words, config, signal)));
    reports.push(...found);
    if (!dryRun && found.every(({ report }) => report)) await writeFile(directory.paths.hostsCleared, "");
  }
  return reports;
}

async function askHost(
  host: HostEntry,
  runId: string,
  words: readonly string[],
  config: RunConfig,
  signal: AbortSignal,
): Promise<HostStaleReport> {
  const name = formatHost({ destination: host.destination, host: host.host });
  const end = await runOnHost(host, [...remoteCommand(config), ...words], config, { signal });
  try {
    return { host: name, runId, report: JSON.parse(end.stdout) as StaleReport };
  } catch {
    return { host: name, runId, problem: describeSshEnd(host, end, false) };
  }
}
