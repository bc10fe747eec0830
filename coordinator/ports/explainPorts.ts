import type { PortHolder } from "./portHolders.ts";
import type { PortRange } from "./portRange.ts";

/** What is known of a port that could not be had. */
export interface TakenPort {
  readonly port: number;
  /** Who listens there, as far as this user may see. */
  readonly holder: PortHolder | undefined;
  /** The run that has leased the port, if one has. */
  readonly leasedBy: string | undefined;
}

/** Ports in one message. */
const namedPorts = 5;
const commandLength = 60;

/** The sentence for a fixed port that is taken: by which run of ours, or by which stranger. */
export function explainFixedPort({ port, holder, leasedBy }: TakenPort): string {
  const runId = holder ? holder.runId : leasedBy;
  const wayOut = "leave --master-port out to get a free port, or choose another";
  if (runId !== undefined) {
    const process = holder ? ` (process ${holder.pid})` : "";
    return `Port ${port} is taken by coord's run ${runId}${process}; end it with \`coord stop ${runId}\` or \`coord kill-stale\`, or ${wayOut}.`;
  }
  const who = holder ? stranger(holder) : "a process of another user or host";
  return `Port ${port} is taken by ${who}, which is not coord's; ${wayOut}.`;
}

/** The sentence for a range without a free port. */
export function explainRange({ from, to }: PortRange, taken: readonly TakenPort[]): string {
  const known = taken.filter(({ holder, leasedBy }) => holder !== undefined || leasedBy !== undefined);
  const named = known.slice(0, namedPorts).map(({ port, holder, leasedBy }) => {
    const runId = holder ? holder.runId : leasedBy;
    return `${port} by ${runId !== undefined ? `run ${runId}` : stranger(holder!)}`;
  });
  const more = known.length > namedPorts ? ` and ${known.length - namedPorts} more` : "";
  const who = named.length > 0 ? ` (${named.join(", ")}${more})` : "";
  return `No port of ${from}-${to} is free${who}; give a larger --port-range, or none to get any free port.`;
}

function stranger({ pid, command }: PortHolder): string {
  const short = command.length > commandLength ? `${command.slice(0, commandLength)}…` : command;
  return `process ${pid}${short === "" ? "" : ` (${short})`}`;
}
