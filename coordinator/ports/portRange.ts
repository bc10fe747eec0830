import { CoordError } from "../../shared/errors.ts";

/** Ports from `from` to `to`, both included. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** Below this port a process needs privileges to listen. */
const firstPort = 1024;
const lastPort = 65_535;

/** Parses "29500-29600". Throws CONFIG_INVALID. */
export function parsePortRange(text: string): PortRange {
  const [from, to] = (/^(\d{1,5})-(\d{1,5})$/.exec(text) ?? []).slice(1).map(Number);
  if (from !== undefined && to !== undefined && from >= firstPort && from <= to && to <= lastPort) return { from, to };
  throw new CoordError(
    "CONFIG_INVALID",
    `--port-range must be A-B with ${firstPort} ≤ A ≤ B ≤ ${lastPort}, not ${JSON.stringify(text)}.`,
  );
}

export function contains({ from, to }: PortRange, port: number): boolean {
  return port >= from && port <= to;
}
