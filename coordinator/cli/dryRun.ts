import { resolve } from "node:path";
import { isDemo, withDemoSettings } from "../../shared/config/demo.ts";
import type { ResolvedConfig } from "../../shared/config/resolve.ts";
import type { ConfigKey, RunConfig } from "../../shared/config/schema.ts";
import { settings } from "../../shared/config/settings.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { checkAdapter } from "../launch/checkAdapter.ts";
import { fitBatchSize } from "../launch/checkMemory.ts";
import { launchCommands } from "../launch/dryRun.ts";
import { pinConfig } from "../launch/pinConfig.ts";
import { preflight } from "../launch/preflight.ts";
import { renderTable } from "../observe/renderStatus.ts";
import { createStyle, wantsColor } from "../observe/style.ts";
import { renderPlan } from "../plan/renderPlan.ts";
import type { CommandContext, CommandValues } from "./command.ts";
import { localSources } from "./localSources.ts";
import { planFor } from "./planOptions.ts";
import { whileInterruptible } from "./whileInterruptible.ts";

/** Prints what a launch would do: settings with where they come from, the plan, the commands of each node. Writes nothing. */
export async function dryRun(given: ResolvedConfig, values: CommandValues, context: CommandContext): Promise<number> {
  const { environment, stdout } = context;
  const color = wantsColor(stdout.isTTY, environment);
  const { bold, dim } = createStyle(color);
  const resolved = await localSources(given, context);
  const downloaded = JSON.stringify(resolved.config) !== JSON.stringify(given.config);
  const asked = pinConfig(resolved.config, resolved.sources);
  const pinned = await whileInterruptible(context, (signal) => fitBatchSize(asked, signal));
  await whileInterruptible(context, (signal) => preflight(pinned, signal));
  await checkAdapter(pinned);
  const { gradientAccumulationSteps, perDeviceTrainBatchSize } = pinned;
  const fitted = pinned === asked ? {} : { gradientAccumulationSteps, perDeviceTrainBatchSize };
  const plan = await planFor({ ...resolved, config: { ...resolved.config, ...fitted } }, values, context);
  const places = launchCommands(pinned, resolve(coordHome(environment)));
  const lines = [
    bold("Settings"),
    ...renderTable(["setting", "value", "from"], settingRows(resolved, pinned)),
    "",
    ...renderPlan(plan, color),
    "",
    bold("Commands"),
    ...places.flatMap(({ place, commands }) => [dim(place), ...commands.map((command) => `  ${command}`)]),
    "",
    downloaded
      ? "Nothing was started; only what the hub has was downloaded into its cache."
      : "Nothing was started and nothing was written.",
  ];
  stdout.write(`${lines.join("\n")}\n`);
  return 0;
}

/** Every setting that has a value, with its source in words. */
function settingRows({ config, sources }: ResolvedConfig, pinned: RunConfig): string[][] {
  const ownOfDemo = isDemo(config) ? withDemoSettings(config, sources) : config;
  const origin = (key: ConfigKey): string => {
    if (sources[key] !== "default") return sourceNames[sources[key]];
    if (same(config[key], pinned[key])) return "default";
    const demo = isDemo(config) && (key === "model" || key === "data");
    return demo || !same(config[key], ownOfDemo[key]) ? "the demo" : "worked out";
  };
  return settings.flatMap(({ flag, key }) =>
    pinned[key] === undefined ? [] : [[flag, valueText(pinned[key]), origin(key)]],
  );
}

const sourceNames = { flag: "flag", environment: "environment", file: "file", default: "default" } as const;

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "(none)" : value.join(",");
  return String(value);
}
