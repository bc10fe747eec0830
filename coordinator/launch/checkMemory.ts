import { join } from "node:path";
import { worldSizeOf } from "../../shared/config/hosts.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { askModelFacts } from "../plan/askModelFacts.ts";
import { hostMemory } from "../plan/hostMemory.ts";
import { readDataFacts } from "../plan/readDataFacts.ts";
import { fittingBatch, type HostFit, judgeFit } from "./judgeFit.ts";

/**
 * Refuses a model that cannot be trained, and a run whose workers this host has not the memory for. Throws
 * MODEL_INVALID, CONFIG_INVALID or PREFLIGHT_REFUSED.
 */
export async function checkMemory(config: RunConfig, signal: AbortSignal): Promise<void> {
  const fit = await fitOf(config, signal);
  const problem = fit && judgeFit(fit, config);
  if (problem !== undefined) throw new CoordError("PREFLIGHT_REFUSED", problem);
}

/** With --auto-find-batch-size the micro-batch that fits this host, for the same global batch. */
export async function fitBatchSize(config: RunConfig, signal: AbortSignal): Promise<RunConfig> {
  if (!config.autoFindBatchSize) return config;
  const fit = await fitOf(config, signal);
  const largest = fit?.facts.largest;
  if (!fit || !largest || judgeFit(fit, config) === undefined) return config;
  return { ...config, ...fittingBatch(config, largest.batch) };
}

/** Undefined where workers run on other hosts, of whose memory nothing is known here. */
async function fitOf(config: RunConfig, signal: AbortSignal): Promise<HostFit | undefined> {
  const workers = worldSizeOf(config);
  const { available, limit = Number.POSITIVE_INFINITY } = hostMemory();
  const availableBytes = Math.min(available, limit);
  const ask = (sequence: number) => askModelFacts(config, { sequence, limitBytes: availableBytes / workers });
  const facts = await ask(config.maxLength);
  if (config.launcher !== "local") return undefined;
  const fit = { facts, workers, availableBytes };
  if (judgeFit(fit, config) === undefined) return fit;
  // --max-length bounds the samples; what the data set really has takes a moment to find out, and may fit.
  const { longest, source } = await readDataFacts(config, join(coordHome(), "cache", "tokens"), signal);
  const known = source.kind === "cache" || (source.kind === "sample" && source.sampled === source.rows);
  if (!known || longest === undefined || longest >= config.maxLength) return fit;
  return { ...fit, facts: await ask(longest) };
}
