import type { ConfigKey, RunConfig } from "./schema.ts";

/** Settings with which the built-in demo visibly learns in about a minute; each gives way to one that the user gave. */
const demoSettings = {
  evalSplit: 0.1,
  evalSteps: 10,
  saveSteps: 10,
  perDeviceTrainBatchSize: 1,
  numTrainEpochs: 2,
  learningRate: 5e-3,
  targetModules: ["all-linear"],
} as const satisfies Partial<Record<ConfigKey, unknown>>;

/** True when neither a model nor data was given, so that the built-in demo runs. */
export function isDemo(config: RunConfig): boolean {
  return config.model === undefined && config.data === undefined;
}

/** The configuration with the demo's settings where the user left the default. */
export function withDemoSettings(config: RunConfig, sources: Readonly<Partial<Record<ConfigKey, string>>>): RunConfig {
  const untouched = Object.entries(demoSettings).filter(([key]) => sources[key as ConfigKey] === "default");
  return { ...config, ...Object.fromEntries(untouched) };
}
