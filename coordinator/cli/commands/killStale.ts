import { exitCodes } from "../../../shared/errors.ts";
import { coordHome } from "../../../shared/runPaths.ts";
import { formatStaleReport } from "../../stale/formatStaleReport.ts";
import { killStale } from "../../stale/killStale.ts";
import { type Command, jsonOption } from "../command.ts";

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
    ...jsonOption,
  },
  async run(values, context) {
    const { stdout, environment } = context;
    const leaving = new AbortController();
    const unsubscribe = context.onSignal(() => leaving.abort());
    try {
      const report = await killStale({
        home: coordHome(environment),
        dryRun: values["dry-run"] === true,
        allRuns: values["all-runs"] === true,
        graceMs,
        signal: leaving.signal,
      });
      const columns = stdout.isTTY ? stdout.columns : unlimitedColumns;
      stdout.write(
        values["json"] ? `${JSON.stringify(report, undefined, 2)}\n` : formatStaleReport(report, { columns }),
      );
      const survived = report.processes.some(({ outcome }) => outcome === "survived");
      return survived ? exitCodes.trainingFailed : exitCodes.done;
    } finally {
      unsubscribe();
    }
  },
};
