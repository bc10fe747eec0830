import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Options } from "yargs";
import { isDemo } from "../../shared/config/demo.ts";
import { worldSizeOf } from "../../shared/config/hosts.ts";
import type { ResolvedConfig } from "../../shared/config/resolve.ts";
import { CoordError } from "../../shared/errors.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { pinConfig } from "../launch/pinConfig.ts";
import { makePlan, type PlanWishes } from "../plan/makePlan.ts";
import { type MeasuredStep, measureSpeed } from "../plan/measureSpeed.ts";
import type { PlanDocument } from "../plan/planDocument.ts";
import { type CommandContext, type CommandValues, textValue } from "./command.ts";
import { numberOption } from "./numberOption.ts";
import { selectRun } from "./selectRun.ts";
import { whileInterruptible } from "./whileInterruptible.ts";

/** What `coord plan` asks beside the settings of a run. */
export const planOptions: Readonly<Record<string, Options>> = {
  samples: { describe: "Size of the training set, in place of --data.", requiresArg: true, group: "Plan:" },
  "memory-gb": { describe: "Memory of each worker's device, in GiB.", requiresArg: true, group: "Plan:" },
  "network-gbps": { describe: "Network link of the coordinator [default: 10].", requiresArg: true, group: "Plan:" },
  "step-seconds": {
    describe: "Seconds of forward and backward passes of one worker per step, for one slot.",
    requiresArg: true,
    group: "Plan:",
  },
  like: { describe: "Run whose measured speed to go by: id or output directory.", requiresArg: true, group: "Plan:" },
  "mtbf-hours": {
    describe: "Mean hours between failures of a node: simulates throughput and goodput for up to 1024 nodes.",
    requiresArg: true,
    group: "Plan:",
  },
  "price-per-gpu-hour": { describe: "Price of one GPU for an hour.", requiresArg: true, group: "Plan:" },
};

/** The plan that flags and settings ask for. */
export async function planFor(
  { config, sources }: ResolvedConfig,
  values: CommandValues,
  context: CommandContext,
): Promise<PlanDocument> {
  const samples = numberOption(values, "samples", { integer: true });
  const limitGb = numberOption(values, "memory-gb");
  const price = numberOption(values, "price-per-gpu-hour");
  const mtbfHours = numberOption(values, "mtbf-hours");
  const measured = await measuredSpeed(values, context);
  const wishes: PlanWishes = {
    cacheDirectory: join(coordHome(context.environment), "cache", "tokens"),
    hasModel: config.model !== undefined || (samples === undefined && isDemo(config)),
    networkGbps: numberOption(values, "network-gbps") ?? 10,
    ...(samples === undefined ? {} : { samples }),
    ...(limitGb === undefined ? {} : { limitBytes: limitGb * 2 ** 30 }),
    ...(price === undefined ? {} : { pricePerGpuHour: price }),
    ...(measured && { measured }),
    ...(mtbfHours === undefined ? {} : { mtbfHours }),
  };
  // The demo's own settings belong to the demo's data.
  const pinned = pinConfig(config, samples === undefined ? sources : {});
  return whileInterruptible(context, (signal) => makePlan({ ...pinned, slots: config.slots }, wishes, signal));
}

async function measuredSpeed(values: CommandValues, context: CommandContext): Promise<PlanWishes["measured"]> {
  const seconds = numberOption(values, "step-seconds");
  const like = textValue(values, "like");
  if (seconds !== undefined && like !== undefined) {
    throw new CoordError("CONFIG_INVALID", "Give either --step-seconds or --like, not both.");
  }
  if (seconds !== undefined) return { per: "slot", seconds, overheadSeconds: 0, source: "--step-seconds" };
  if (like === undefined) return undefined;
  const { directory, run, runId } = await selectRun(like, context);
  const steps = await readSteps(directory.paths.metrics);
  const speed = measureSpeed(steps, worldSizeOf(run.config));
  if (speed === undefined) {
    throw new CoordError("CONFIG_INVALID", `Run ${runId} has too few steps to go by; name another with --like.`);
  }
  const { overheadSeconds, secondsPerToken } = speed;
  return { per: "token", seconds: secondsPerToken, batches: run.config, overheadSeconds, source: `run ${runId}` };
}

async function readSteps(path: string): Promise<MeasuredStep[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    // The last line may be half written.
    if (!line.endsWith("}")) return [];
    const figures = JSON.parse(line) as Partial<MeasuredStep>;
    return figures.computeMs === undefined ? [] : [figures as MeasuredStep];
  });
}
