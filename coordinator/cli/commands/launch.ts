import { flagOptions } from "../../../shared/config/flags.ts";
import { startRun, submitRun } from "../../launch/startRun.ts";
import { attachToRun } from "../attachToRun.ts";
import type { Command } from "../command.ts";
import { describeSubmission } from "../describeSubmission.ts";
import { dryRun } from "../dryRun.ts";
import { loadConfig } from "../loadConfig.ts";
import { printScript } from "../printScript.ts";
import { whileInterruptible } from "../whileInterruptible.ts";

const tell = (line: string) => void process.stderr.write(`${line}\n`);

export const launchCommand: Command = {
  usage: "launch",
  describe: "Start a training run and attach to it. The run goes on when the terminal closes; Ctrl-C stops it.",
  options: {
    config: { describe: "File with settings [default: coord.yaml where there is one].", requiresArg: true },
    detach: { type: "boolean", alias: "d", describe: "Print the run's id and return." },
    "dry-run": { type: "boolean", describe: "Print settings, plan and commands; start and write nothing." },
    print: { type: "boolean", describe: "With --launcher slurm: print the batch script and submit nothing." },
    ...flagOptions(),
  },
  examples: [
    ["coord launch --nodes 2 --gpus 8", "Train the built-in demo on 2 simulated nodes"],
    ["coord launch --model DIR --data FILE --output OUT", "Train your own"],
    ["coord launch --launcher slurm --nodes 2 --gpus 8 --time 2:00:00", "Submit a Slurm job"],
    ["coord launch --hosts alice@a:8,b:4 --model DIR", "Train on two other hosts, over ssh"],
  ],
  async run(values, context) {
    const resolved = await loadConfig(values, context);
    if (values["dry-run"]) return dryRun(resolved, values, context);
    const { config, sources } = resolved;
    if (values["print"]) return printScript(config, sources, context);
    if (config.launcher === "slurm") {
      const submitted = await whileInterruptible(context, (signal) =>
        submitRun({ config, sources, signal, onDownload: tell, onLine: tell }),
      );
      if (!values["detach"]) return describeSubmission(submitted, context);
      context.stdout.write(`${submitted.runId}\n`);
      return 0;
    }
    const run = await whileInterruptible(context, (signal) =>
      startRun({ config, sources, signal, onDownload: tell, onLine: tell }),
    );
    if (values["detach"]) {
      context.stdout.write(`${run.runId}\n`);
      return 0;
    }
    return attachToRun(run, { owner: true, loggingSteps: config.loggingSteps, showFromMs: 0 }, context);
  },
};
