import type { RunConfig } from "../../shared/config/schema.ts";
import { describeDownload } from "../hub/describeDownload.ts";
import { resolveSources } from "../hub/resolveSources.ts";

/** The configuration with everything it names on the hub on this disk; `onLine` gets a line now and then meanwhile. */
export function localConfig(
  config: RunConfig,
  signal: AbortSignal,
  onLine: (line: string) => void = () => {},
): Promise<RunConfig> {
  const onProgress = describeDownload(onLine, () => performance.now());
  return resolveSources(config, { environment: process.env, signal, onProgress });
}
