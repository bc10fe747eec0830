import { CoordError } from "../../../shared/errors.ts";
import { logLevels } from "../../observe/runMonitor.ts";
import { type LiveChange, openRunClient } from "../../runs/runClient.ts";
import { type Command, jsonOption, textValue } from "../command.ts";
import { reachRun } from "../reachRun.ts";
import { selectRun } from "../selectRun.ts";

export const setCommand: Command = {
  usage: "set [run]",
  describe: "Change what may change while a run is going on, and print what is in force.",
  positionals: {
    run: { describe: "Id or output directory of the run [default: the only one that is going on].", type: "string" },
  },
  options: {
    "log-level": {
      describe: `Level of the coordinator's and workers' logs: ${logLevels.join(", ")}.`,
      requiresArg: true,
    },
    "save-steps": { describe: "Steps between checkpoints; 0 for the last one only.", requiresArg: true },
    ...jsonOption,
  },
  examples: [["coord set --save-steps 50", "A checkpoint every 50 steps from now on"]],
  async run(values, context) {
    const change = changeOf(textValue(values, "log-level"), textValue(values, "save-steps"));
    const run = await selectRun(textValue(values, "run"), context, "onlyLive");
    const client = openRunClient(await reachRun(run));
    try {
      const { logLevel, saveSteps } = await client.set(change);
      const text = values["json"]
        ? JSON.stringify({ run: run.runId, logLevel, saveSteps }, undefined, 2)
        : `log-level   ${logLevel}\nsave-steps  ${saveSteps}`;
      context.stdout.write(`${text}\n`);
      return 0;
    } finally {
      client.close();
    }
  },
};

function changeOf(logLevel: string | undefined, saveSteps: string | undefined): LiveChange {
  if (logLevel !== undefined && !logLevels.includes(logLevel)) {
    const got = JSON.stringify(logLevel);
    throw new CoordError("CONFIG_INVALID", `--log-level must be one of ${logLevels.join(", ")}, got ${got}.`);
  }
  if (saveSteps !== undefined && !/^\d{1,9}$/.test(saveSteps)) {
    const got = JSON.stringify(saveSteps);
    throw new CoordError("CONFIG_INVALID", `--save-steps must be a whole number from 0, got ${got}.`);
  }
  return {
    ...(logLevel === undefined ? {} : { logLevel }),
    ...(saveSteps === undefined ? {} : { saveSteps: Number(saveSteps) }),
  };
}
