import { once } from "node:events";
import { CoordError } from "../../../shared/errors.ts";
import { coordHome } from "../../../shared/runPaths.ts";
import { serveDashboard } from "../../dashboard/serveDashboard.ts";
import { type Command, textValue } from "../command.ts";
import { selectRun } from "../selectRun.ts";

export const dashboardCommand: Command = {
  usage: "dashboard [run]",
  describe: "Serve a web page with the curves, workers, events and logs of this host's runs, until Ctrl-C.",
  positionals: {
    run: { describe: "Id or output directory of the run to begin with [default: the newest].", type: "string" },
  },
  options: { port: { describe: "Port on 127.0.0.1 [default: any free one].", requiresArg: true } },
  examples: [["coord dashboard --port 8080", "From elsewhere: ssh -L 8080:127.0.0.1:8080 HOST"]],
  async run(values, context) {
    const { directory, runId } = await selectRun(textValue(values, "run"), context, "live");
    const place = {
      dashboardListen: "127.0.0.1",
      dashboardPort: portOf(textValue(values, "port")),
      advertise: undefined,
    };
    const served = await serveDashboard(place, { home: coordHome(context.environment), runId });
    const leaving = new AbortController();
    const unsubscribe = context.onSignal(() => leaving.abort());
    try {
      context.stdout.write(
        `${served.url}  (Ctrl-C ends it; runs go on)\nSteering asks for the run's admin token: ${directory.paths.adminToken}\n`,
      );
      if (!leaving.signal.aborted) await once(leaving.signal, "abort");
      return 0;
    } finally {
      unsubscribe();
      await served.close();
    }
  },
};

function portOf(text: string | undefined): number {
  if (text === undefined) return 0;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65535) return port;
  throw new CoordError("CONFIG_INVALID", `--port must be a port from 0 to 65535, got ${JSON.stringify(text)}.`);
}
