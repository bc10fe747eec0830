import { resolve } from "node:path";
import { flagOptions } from "../../../shared/config/flags.ts";
import { kebabCase } from "../../../shared/config/settings.ts";
import { CoordError } from "../../../shared/errors.ts";
import { coordHome } from "../../../shared/runPaths.ts";
import { type ImportReport, importCheckpoint } from "../../import/importCheckpoint.ts";
import { type Command, jsonOption, textValue } from "../command.ts";
import { loadConfig } from "../loadConfig.ts";
import { whileInterruptible } from "../whileInterruptible.ts";

export const importCommand: Command = {
  usage: "import <checkpoint>",
  describe:
    "Make a run that coord resume continues from a checkpoint-N of HuggingFace's Trainer with a PEFT adapter. Its pickles are not read.",
  positionals: { checkpoint: { describe: "Directory of the checkpoint.", type: "string" } },
  options: {
    config: { describe: "File with settings [default: coord.yaml where there is one].", requiresArg: true },
    ...jsonOption,
    ...flagOptions(),
  },
  examples: [
    ["coord import TRAINER/checkpoint-500 --model DIR --data FILE --output OUT", "Take it over"],
    ["coord resume OUT", "Train on"],
  ],
  async run(values, context) {
    const { config, sources } = await loadConfig(values, context);
    if (config.model === undefined || config.data === undefined) {
      throw new CoordError(
        "CONFIG_INVALID",
        "coord import needs --model and --data: those that the run was trained with.",
      );
    }
    const directory = resolve(context.workingDirectory, textValue(values, "checkpoint")!);
    const home = coordHome(context.environment);
    const options = {
      directory,
      home,
      config,
      sources,
      onDownload: (line: string) => process.stderr.write(`${line}\n`),
    };
    const importing = (signal: AbortSignal) => importCheckpoint({ ...options, signal });
    const report = await whileInterruptible(context, importing, "the checkpoint was imported");
    const shown = values["json"]
      ? [JSON.stringify({ from: directory, ...report }, undefined, 2)]
      : lines(directory, report);
    context.stdout.write(`${shown.join("\n")}\n`);
    return 0;
  },
};

function lines(directory: string, report: ImportReport): string[] {
  const { leftOut, logged, maxSteps, modules, output, run, settings, step } = report;
  const flags = Object.entries(settings).map(([key, value]) => `--${kebabCase(key)} ${value}`);
  return [
    `Imported ${directory}, step ${step} of ${maxSteps}, into ${output} as run ${run}.`,
    `  taken over   adapter of ${modules} modules, step, epoch, ${logged} lines of the log`,
    `  settings     ${flags.join(" ")}`,
    ...leftOut.map((clause) => `  left out     ${clause}.`),
    step >= maxSteps
      ? `All ${maxSteps} steps are done; \`coord resume ${run} --max-steps N\` goes on.`
      : `\`coord resume ${run}\` continues it.`,
  ];
}
