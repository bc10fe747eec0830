import { flagOptions } from "../../../shared/config/flags.ts";
import { CoordError } from "../../../shared/errors.ts";
import { serveRun } from "../../launch/serveRun.ts";
import { type Command, textValue } from "../command.ts";
import { loadConfig } from "../loadConfig.ts";

export const coordinatorCommand: Command = {
  usage: "coordinator",
  describe:
    "Run a coordinator in the foreground, for agents that something else starts (Kubernetes, a script). " +
    "COORD_TOKEN_FILE names the run's token, COORD_VIEWER_TOKEN_FILE that of those who only look. The same run id continues where its checkpoints stand.",
  options: {
    config: { describe: "File with settings [default: coord.yaml where there is one].", requiresArg: true },
    "run-id": { describe: "Id of the run [default: COORD_RUN_ID].", requiresArg: true },
    ...flagOptions(),
  },
  examples: [["coord coordinator --config coord.yaml --run-id nightly", "Serve the run `nightly` until it ends"]],
  async run(values, context) {
    const runId = textValue(values, "run-id") ?? context.environment["COORD_RUN_ID"];
    const tokenFile = context.environment["COORD_TOKEN_FILE"];
    if (!runId) throw new CoordError("CONFIG_INVALID", "Give the run's id: --run-id or COORD_RUN_ID.");
    if (!tokenFile) throw new CoordError("CONFIG_INVALID", "COORD_TOKEN_FILE must name the file with the run's token.");
    const { config, sources } = await loadConfig(values, context);
    const ending = new AbortController();
    const unsubscribe = context.onSignal((signal) => {
      if (signal !== "SIGHUP") ending.abort(new CoordError("TERMINATED", `Ended by ${signal}.`));
    });
    try {
      const viewerTokenFile = context.environment["COORD_VIEWER_TOKEN_FILE"];
      return await serveRun({ config, sources, runId, tokenFile, viewerTokenFile, terminated: ending.signal });
    } finally {
      unsubscribe();
    }
  },
};
