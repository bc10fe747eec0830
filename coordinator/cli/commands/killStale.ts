import { exitCodes } from "../../../shared/errors.ts";
import { coordHome } from "../../../shared/runPaths.ts";
import { formatStaleReport } from "../../stale/formatStaleReport.ts";
import { killStale } from "../../stale/killStale.ts";
import { type ClusterStaleReport, killStaleInClusters } from "../../stale/killStaleInClusters.ts";
import { type JobStaleReport, killStaleInSlurm } from "../../stale/killStaleInSlurm.ts";
import { type HostStaleReport, killStaleOnHosts } from "../../stale/killStaleOnHosts.ts";
import { type Command, jsonOption, textValue } from "../command.ts";

/** A worker that is asked to end has this long before it is killed. */
const graceMs = 5000;
/** Width where there is no terminal: nothing is cut in a log. */
const unlimitedColumns = 1000;

export const killStaleCommand: Command = {
  usage: "kill-stale",
  describe: "Find and end what dead runs left behind. Live runs and strangers' processes are never touched.",
  options: {
    "dry-run": { type: "boolean", alias: "n", describe: "Only show what would be ended." },
    "all-runs": { type: "boolean", describe: "End your live runs too." },
    "this-host": {
      type: "boolean",
      describe: "Ask neither the hosts nor the clusters nor Slurm that dead runs have used.",
    },
    run: { describe: "Look at this run only.", requiresArg: true },
    ...jsonOption,
  },
  async run(values, context) {
    const { stdout, environment } = context;
    const leaving = new AbortController();
    const unsubscribe = context.onSignal(() => leaving.abort());
    try {
      const home = coordHome(environment);
      const dryRun = values["dry-run"] === true;
      const runId = textValue(values, "run");
      const elsewhere = { home, dryRun, runId, signal: leaving.signal };
      // As long as its job goes on, what a run has on this host counts as alive.
      const jobs = values["this-host"] ? [] : await killStaleInSlurm(elsewhere);
      const local = await killStale({
        home,
        dryRun,
        allRuns: values["all-runs"] === true,
        runId,
        graceMs,
        signal: leaving.signal,
      });
      // This host first: what would start agents again must be gone.
      const hosts = values["this-host"] ? [] : await killStaleOnHosts(elsewhere);
      const clusters = values["this-host"] ? [] : await killStaleInClusters(elsewhere);
      const report = { ...local, jobs, hosts, clusters };
      const columns = stdout.isTTY ? stdout.columns || 80 : unlimitedColumns;
      stdout.write(
        values["json"]
          ? `${JSON.stringify(report, undefined, 2)}\n`
          : [
              ...jobs.map((job) => formatJobReport(job, dryRun)),
              formatStaleReport(local, { columns }),
              ...hosts.map((host) => formatHostReport(host, { columns })),
              ...clusters.map((cluster) => formatClusterReport(cluster, dryRun)),
            ].join(""),
      );
      const survived = [local, ...hosts.map(({ report }) => report)].some((found) =>
        found?.processes.some(({ outcome }) => outcome === "survived"),
      );
      const unanswered = [...jobs, ...hosts, ...clusters].some(({ problem }) => problem !== undefined);
      return survived || unanswered ? exitCodes.trainingFailed : exitCodes.done;
    } finally {
      unsubscribe();
    }
  },
};

function formatJobReport({ job, nodes, problem, reason, runId }: JobStaleReport, dryRun: boolean): string {
  const head = `Slurm, run ${runId}:`;
  if (problem !== undefined) return `${head} job ${job} is still there: ${problem}\n`;
  return `${head} ${dryRun ? "would cancel" : "cancelled"} job ${job} on ${nodes}: ${reason}\n`;
}

function formatHostReport({ host, problem, report, runId }: HostStaleReport, width: { columns: number }): string {
  const head = `Host ${host}, run ${runId}: `;
  if (report === undefined) return `${head}${problem} Run coord kill-stale again when it is back.\n`;
  return `${head}\n${formatStaleReport(report, width)}`;
}

function formatClusterReport({ objects, problem, runId }: ClusterStaleReport, dryRun: boolean): string {
  if (problem !== undefined) return `Kubernetes, run ${runId}: ${problem} Run coord kill-stale again later.\n`;
  return `Kubernetes, run ${runId}: ${dryRun ? "would delete" : "deleted"} ${objects.join(", ")}\n`;
}
