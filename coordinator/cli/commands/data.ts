import { join, resolve } from "node:path";
import { flagOptions } from "../../../shared/config/flags.ts";
import type { ConfigKey, RunConfig } from "../../../shared/config/schema.ts";
import { settings } from "../../../shared/config/settings.ts";
import { rowFormats } from "../../../shared/dataset/formats/readRow.ts";
import { CoordError, exitCodes } from "../../../shared/errors.ts";
import { packageRoot } from "../../../shared/process/packageRoot.ts";
import { convertDataSet } from "../../dataset/convertDataSet.ts";
import { inspectDataSet } from "../../dataset/inspect/inspectDataSet.ts";
import { renderInspection } from "../../dataset/inspect/renderInspection.ts";
import { localConfig } from "../../launch/localConfig.ts";
import { wantsColor } from "../../observe/style.ts";
import { type Command, type CommandContext, type CommandValues, jsonOption, textValue } from "../command.ts";
import { loadConfig } from "../loadConfig.ts";
import { whileInterruptible } from "../whileInterruptible.ts";

/** Settings that shape what is read from a data set. */
const dataSettings: readonly ConfigKey[] = [
  "model",
  "format",
  "columns",
  "skipBadRows",
  "chatTemplate",
  "maxLength",
  "longSamples",
  "truncationSide",
  "trainOnInputs",
];

export const dataCommand: Command = {
  usage: "data <action> <files..>",
  describe: "Look at a data set as a run would read it (inspect), or write it in another format (convert).",
  positionals: {
    action: { describe: "inspect or convert.", type: "string" },
    files: { describe: "Files, globs and directories.", type: "string", array: true },
  },
  options: {
    ...jsonOption,
    to: { describe: `Format to convert to: ${rowFormats.map(({ name }) => name).join(", ")}.`, requiresArg: true },
    output: { describe: "File to write: JSON Lines, or one array where it ends in .json.", requiresArg: true },
    config: { describe: "File with settings [default: coord.yaml where there is one].", requiresArg: true },
    ...flagOptions(settings.filter(({ key }) => dataSettings.includes(key))),
  },
  examples: [
    ["coord data inspect rows.jsonl --model DIR", "Formats, lengths, three samples, and what would fail."],
    ["coord data convert rows.csv --to sharegpt --output rows.jsonl", "Writes the rows as ShareGPT."],
  ],
  async run(values, context) {
    const action = textValue(values, "action");
    const files = (values["files"] as readonly string[] | undefined) ?? [];
    if (files.length === 0) throw new CoordError("CONFIG_INVALID", `coord data ${action} needs at least one file.`);
    const { config } = await loadConfig({ ...values, output: undefined }, context);
    const local = await whileInterruptible(context, (signal) =>
      localConfig({ ...config, data: [...files] }, signal, (line) => process.stderr.write(`${line}\n`)),
    );
    const inputs = local.data!.map((file) => resolve(context.workingDirectory, file));
    if (action === "inspect") return inspect(inputs, local, values, context);
    if (action === "convert") return convert(inputs, local, values, context);
    throw new CoordError("CONFIG_INVALID", `coord data knows inspect and convert, not ${JSON.stringify(action)}.`);
  },
};

async function inspect(
  inputs: readonly string[],
  config: RunConfig,
  values: CommandValues,
  context: CommandContext,
): Promise<number> {
  const model =
    config.model === undefined
      ? join(packageRoot(), "deploy", "demo", "model")
      : resolve(context.workingDirectory, config.model);
  const found = await whileInterruptible(context, (signal) => inspectDataSet(inputs, model, config, signal));
  const { environment, stdout } = context;
  const lines = values["json"]
    ? [JSON.stringify(found, undefined, 2)]
    : renderInspection(found, wantsColor(stdout.isTTY, environment));
  stdout.write(`${lines.join("\n")}\n`);
  return exitCodes.done;
}

async function convert(
  inputs: readonly string[],
  config: RunConfig,
  values: CommandValues,
  context: CommandContext,
): Promise<number> {
  const to = textValue(values, "to");
  const output = textValue(values, "output");
  const known = rowFormats.map(({ name }) => name);
  if (to === undefined || !known.includes(to)) {
    throw new CoordError("CONFIG_INVALID", `coord data convert needs --to with one of ${known.join(", ")}.`);
  }
  if (output === undefined) throw new CoordError("CONFIG_INVALID", "coord data convert needs --output FILE.");
  const path = resolve(context.workingDirectory, output);
  const done = await whileInterruptible(context, (signal) =>
    convertDataSet({ inputs, to, output: path, config, signal }),
  );
  const skipped = done.skipped === 0 ? "" : `; ${done.skipped} skipped (the first: ${done.firstProblem})`;
  context.stdout.write(
    values["json"]
      ? `${JSON.stringify(done, undefined, 2)}\n`
      : `Wrote ${done.rows} rows to ${done.output}${skipped}.\n`,
  );
  return exitCodes.done;
}
