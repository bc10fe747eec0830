import { resolve } from "node:path";
import type { Options } from "yargs";
import { type FlagOption, flagOptions } from "../../../shared/config/flags.ts";
import { resolveOverrides } from "../../../shared/config/resolve.ts";
import type { ConfigKey, RunConfig } from "../../../shared/config/schema.ts";
import { type Setting, settings } from "../../../shared/config/settings.ts";
import { CoordError } from "../../../shared/errors.ts";
import { resumeRun } from "../../launch/startRun.ts";
import { attachToRun } from "../attachToRun.ts";
import { type Command, textValue } from "../command.ts";
import { describeSubmission } from "../describeSubmission.ts";
import { settingValues } from "../loadConfig.ts";
import { placeOverrides } from "../placeOnHosts.ts";
import { selectRun } from "../selectRun.ts";
import { whileInterruptible } from "../whileInterruptible.ts";

/** Settings that may change when a run continues: where and how it runs, how long, and what it keeps and reports. */
const changeable: ReadonlySet<ConfigKey> = new Set<ConfigKey>([
  "nodes",
  "minNodes",
  "maxNodes",
  "elastic",
  "rejoinTimeoutMs",
  "gpus",
  "launcher",
  "hosts",
  "hostfile",
  "interface",
  "sshArg",
  "remoteCommand",
  "env",
  "partition",
  "time",
  "account",
  "qos",
  "constraint",
  "exclusive",
  "sbatchArg",
  "maxRestarts",
  "restartWindowMs",
  "hashEvery",
  "onNan",
  "portRange",
  "masterPort",
  "listen",
  "advertise",
  "tlsCert",
  "tlsKey",
  "tlsCa",
  "insecure",
  "heartbeatTimeoutMs",
  "reconnectBudgetMs",
  "formTimeoutMs",
  "threadsPerWorker",
  "dashboard",
  "dashboardListen",
  "dashboardPort",
  "device",
  "numTrainEpochs",
  "maxSteps",
  "saveSteps",
  "saveTotalLimit",
  "saveMilestoneSteps",
  "onSaveError",
  "onSaveBusy",
  "evalSteps",
  "earlyStoppingPatience",
  "earlyStoppingThreshold",
  "loadBestModelAtEnd",
  "loggingSteps",
  "reportTo",
]);

const changes = settings.filter(({ key }) => changeable.has(key));
const fixed = settings.filter(({ key }) => !changeable.has(key));

export const resumeCommand: Command = {
  usage: "resume [run]",
  describe: "Continue a run exactly where its newest valid checkpoint stands. Settings are those of the run.",
  positionals: { run: { describe: "Id or output directory of the run [default: the newest].", type: "string" } },
  options: {
    from: { describe: "Checkpoint to continue from, checkpoint-N [default: the newest valid one].", requiresArg: true },
    detach: { type: "boolean", alias: "d", describe: "Print the run's id and return." },
    ...offered(changes),
    ...hidden(flagOptions(fixed)),
  },
  examples: [
    ["coord resume", "Continue the newest run"],
    ["coord resume OUT --from checkpoint-500", "Go back to an earlier checkpoint"],
  ],
  async run(values, context) {
    const refused = fixed.find(({ flag }) => values[flag] !== undefined);
    if (refused !== undefined) {
      throw new CoordError(
        "CONFIG_INVALID",
        `--${refused.flag} cannot change when a run continues; coord launch --init-adapter starts a new run from its weights.`,
      );
    }
    const overrides = await placeOverrides(resolveOverrides(settingValues(values)), context.workingDirectory);
    const target = textValue(values, "run");
    const from = textValue(values, "from");
    const showFromMs = Date.now();
    const run = await whileInterruptible(context, (signal) =>
      resumeRun({
        ...(target === undefined ? {} : { target }),
        ...(from === undefined ? {} : { from }),
        overrides: withAbsolutePaths(overrides, context.workingDirectory),
        signal,
        onLine: (line) => process.stderr.write(`${line}\n`),
      }),
    );
    if ("job" in run) return describeSubmission(run, context);
    if (values["detach"]) {
      context.stdout.write(`${run.runId}\n`);
      return 0;
    }
    const { loggingSteps } = (await selectRun(run.runId, context)).run.config;
    return attachToRun(run, { owner: true, loggingSteps, showFromMs }, context);
  },
};

/** The coordinator lives on without this directory. */
function withAbsolutePaths(overrides: Partial<RunConfig>, directory: string): Partial<RunConfig> {
  const paths = (["tlsCert", "tlsKey", "tlsCa"] as const).flatMap((key) => {
    const path = overrides[key];
    return path === undefined ? [] : [[key, resolve(directory, path)] as const];
  });
  return { ...overrides, ...Object.fromEntries(paths) };
}

/** Without defaults: a setting that is not given stays as it is. */
function offered(wanted: readonly Setting[]): Record<string, Options> {
  const options = flagOptions(wanted);
  return Object.fromEntries(wanted.map(({ flag, description }) => [flag, { ...options[flag], describe: description }]));
}

/** Options that are known, so that using one gets a reason, but not offered. */
function hidden(options: Readonly<Record<string, FlagOption>>): Record<string, Options> {
  return Object.fromEntries(Object.entries(options).map(([name, option]) => [name, { ...option, hidden: true }]));
}
