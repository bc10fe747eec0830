import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { exportAdapterTo } from "../../../shared/checkpoint/exportAdapter.ts";
import { runConfigSchema } from "../../../shared/config/schema.ts";
import { CoordError } from "../../../shared/errors.ts";
import { mergeAdapter } from "../../../shared/merge/mergeAdapter.ts";
import type { FloatType } from "../../../shared/merge/mergePlan.ts";
import { type AdapterSource, openAdapterSource } from "../../checkpoint/adapterSource.ts";
import { describeDownload } from "../../hub/describeDownload.ts";
import { resolveSources } from "../../hub/resolveSources.ts";
import { formatCount } from "../../observe/format.ts";
import { type Command, type CommandContext, type CommandValues, jsonOption, textValue } from "../command.ts";
import { parseBytes } from "../parseBytes.ts";
import { placesPositional, selectCheckpoints, words } from "../selectCheckpoints.ts";
import { whileInterruptible } from "../whileInterruptible.ts";

const dtypes: Readonly<Record<string, FloatType>> = { f32: "F32", f16: "F16", bf16: "BF16" };

export const exportCommand: Command = {
  usage: "export [places..]",
  describe:
    "Write a model with the adapter merged into its weights (--merge), or the bare PEFT adapter (--adapter), of a run, an output directory (its newest valid checkpoint) or a checkpoint.",
  positionals: { places: placesPositional },
  options: {
    merge: {
      type: "boolean",
      describe:
        "Fold the adapter into the base model: W + alpha / r · B · A. W is what the model's files hold, also where the run had loaded it in 4 or 8 bits.",
    },
    adapter: { type: "boolean", describe: "Write the adapter alone, as PEFT loads it." },
    to: { describe: "Directory to make; it must not be there yet, or be empty.", requiresArg: true },
    model: { describe: "Base model directory [default: the one the adapter names].", requiresArg: true },
    dtype: {
      describe: "--merge: type of the written weights, f32, f16 or bf16 [default: each as in the base model].",
      requiresArg: true,
    },
    "max-shard-size": {
      describe: "--merge: largest weights file, such as 5GB or 200MiB [default: 5GB].",
      requiresArg: true,
    },
    ...jsonOption,
  },
  examples: [
    ["coord export --merge --to MODEL", "Merge the newest run's newest checkpoint"],
    ["coord export OUT/checkpoint-500 --adapter --to ADAPTER", "The adapter alone"],
  ],
  async run(values, context) {
    const to = textValue(values, "to");
    if ((values["merge"] === true) === (values["adapter"] === true)) {
      throw new CoordError("CONFIG_INVALID", "coord export needs one of --merge and --adapter.");
    }
    if (to === undefined) throw new CoordError("CONFIG_INVALID", "Say where to write to with --to DIR.");
    const places = await selectCheckpoints(words(values, "places"), context);
    if (places.length !== 1) throw new CoordError("CONFIG_INVALID", "coord export takes one run or checkpoint.");
    const [{ directory, name }] = places as [(typeof places)[number]];
    const source = await openAdapterSource(directory, name);
    const target = resolve(context.workingDirectory, to);
    const write = values["merge"] ? merge : bare;
    const document = { source: source.path, to: target, ...(await write(source, target, values, context)) };
    context.stdout.write(`${values["json"] ? JSON.stringify(document, undefined, 2) : document.message}\n`);
    return 0;
  },
};

type Written = { readonly message: string } & Readonly<Record<string, unknown>>;

async function merge(
  source: AdapterSource,
  to: string,
  values: CommandValues,
  context: CommandContext,
): Promise<Written> {
  const named = textValue(values, "model") ?? source.config.base_model_name_or_path;
  if (named === null) {
    throw new CoordError("MODEL_INVALID", `${source.path} does not name its base model; name it with --model.`);
  }
  const dtype = dtypeOf(textValue(values, "dtype"));
  const options = {
    adapter: source,
    source: source.path,
    to,
    dtype,
    maxShardBytes: parseBytes(textValue(values, "max-shard-size") ?? "5GB", "max-shard-size"),
    ...(context.stdout.isTTY && !values["json"] ? { onProgress: progressLine(context.stdout) } : {}),
  };
  const merging = async (signal: AbortSignal) => {
    const model = await modelDirectory(named, context, signal);
    return { model, ...(await mergeAdapter({ ...options, model, signal })) };
  };
  const report = await whileInterruptible(context, merging, "the model was written");
  const size = `${report.files.length} file${report.files.length === 1 ? "" : "s"}, ${formatCount(report.bytes)}B`;
  const message = `Merged ${report.modules} modules of ${source.path} with ${report.model} into ${to} (${size}).`;
  return { message, ...report };
}

/** The base model on this disk: a directory, or a repository of the hub, which adapters of other programs often name. */
async function modelDirectory(named: string, context: CommandContext, signal: AbortSignal): Promise<string> {
  const path = resolve(context.workingDirectory, named);
  if (existsSync(path)) return path;
  const { downloadStallTimeoutMs } = runConfigSchema.parse({});
  const onProgress = describeDownload(
    (line) => process.stderr.write(`${line}\n`),
    () => performance.now(),
  );
  const options = { environment: context.environment, signal, onProgress };
  const { model } = await resolveSources({ model: named, downloadStallTimeoutMs }, options);
  return resolve(context.workingDirectory, model);
}

function dtypeOf(given: string | undefined): FloatType | undefined {
  if (given === undefined || Object.hasOwn(dtypes, given)) return dtypes[given ?? ""];
  throw new CoordError("CONFIG_INVALID", `--dtype must be f32, f16 or bf16, got ${JSON.stringify(given)}.`);
}

async function bare(source: AdapterSource, to: string, values: CommandValues): Promise<Written> {
  for (const flag of ["dtype", "max-shard-size"]) {
    if (values[flag] !== undefined) throw new CoordError("CONFIG_INVALID", `--${flag} goes with --merge.`);
  }
  const model = textValue(values, "model");
  const config = model === undefined ? source.config : { ...source.config, base_model_name_or_path: model };
  const tensors = [...source.tensors].map(([name, { data, shape }]) => ({ name, data, shape }));
  await exportAdapterTo(to, tensors, config);
  return { message: `Wrote the adapter of ${source.path} to ${to}.` };
}

/** One line that is written over: a large model takes minutes. */
function progressLine(stdout: NodeJS.WriteStream): (done: number, total: number) => void {
  let shown = -1;
  return (done, total) => {
    const percent = Math.floor((100 * done) / total);
    if (percent === shown) return;
    shown = percent;
    stdout.write(`\rMerging: ${percent} % of ${formatCount(total)}B${percent === 100 ? "\n" : ""}`);
  };
}
