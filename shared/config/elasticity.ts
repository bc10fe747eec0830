import type { RunConfig } from "./schema.ts";

/** Between how many nodes a run may go on. */
export interface Elasticity {
  readonly minNodes: number;
  readonly maxNodes: number;
  /** Time that a missing worker has before the others go on without it, in milliseconds. */
  readonly rejoinTimeoutMs: number;
}

/** The bounds that the settings give; undefined where the run needs exactly `--nodes`. */
export function elasticityOf(
  config: Pick<RunConfig, "elastic" | "maxNodes" | "minNodes" | "nodes" | "rejoinTimeoutMs">,
): Elasticity | undefined {
  const { elastic, nodes, rejoinTimeoutMs } = config;
  const minNodes = config.minNodes ?? (elastic ? 1 : nodes);
  const maxNodes = config.maxNodes ?? nodes;
  return minNodes === nodes && maxNodes === nodes ? undefined : { minNodes, maxNodes, rejoinTimeoutMs };
}
