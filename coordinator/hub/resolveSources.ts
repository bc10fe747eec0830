import { existsSync } from "node:fs";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";
import type { RepoKind } from "./chooseFiles.ts";
import type { DownloadProgress, FetchedRepo } from "./fetchRepo.ts";
import { isHubUrl, parseHubName } from "./hubName.ts";
import { hubSettings } from "./hubSettings.ts";

export interface ResolveOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: DownloadProgress) => void;
}

/** The settings that may name a repository of the hub. */
type Sources = Pick<RunConfig, "model" | "data" | "evalData" | "downloadStallTimeoutMs"> &
  Partial<Pick<RunConfig, "dataWeights">>;

/**
 * Replaces `hf://owner/name` and `owner/name` in the settings by paths on this disk, downloading what is not there yet.
 * What exists as a path here is never looked for on the hub. Throws as fetchRepo does, and CONFIG_INVALID for an
 * `hf://` that cannot be read.
 */
export async function resolveSources<Config extends Sources>(config: Config, options: ResolveOptions): Promise<Config> {
  const fetched = (source: string, kind: RepoKind) => fetchSource(source, kind, config.downloadStallTimeoutMs, options);
  const dataOf = async (sources: readonly string[] | undefined) => {
    if (sources === undefined) return undefined;
    const found = await sequentially(sources, async (source) => (await fetched(source, "dataset"))?.files ?? [source]);
    return found;
  };
  const model = config.model === undefined ? undefined : await fetched(config.model, "model");
  const data = await dataOf(config.data);
  const evalData = await dataOf(config.evalData);
  return {
    ...config,
    ...(model && { model: model.directory }),
    ...(data && { data: data.flat() }),
    // Each file of an entry has the entry's weight.
    ...(data && { dataWeights: config.dataWeights?.flatMap((weight, entry) => data[entry]?.map(() => weight) ?? []) }),
    ...(evalData && { evalData: evalData.flat() }),
  };
}

/** Undefined for a source that is no repository. */
async function fetchSource(
  source: string,
  kind: RepoKind,
  stallTimeoutMs: number,
  options: ResolveOptions,
): Promise<FetchedRepo | undefined> {
  const hub = isHubUrl(source) || !existsSync(source) ? parseHubName(source) : undefined;
  if (hub !== undefined) {
    // The hub's library takes a while to load, and most runs have no need of it.
    const { fetchRepo } = await import("./fetchRepo.ts");
    return fetchRepo({ kind, hub, settings: hubSettings(options.environment), stallTimeoutMs, ...options });
  }
  if (!isHubUrl(source)) return undefined;
  throw new CoordError(
    "CONFIG_INVALID",
    `${source} is not hf://owner/name, with @revision and /path behind it or not.`,
  );
}

async function sequentially<T, R>(values: readonly T[], work: (value: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const value of values) results.push(await work(value));
  return results;
}
