import { elasticityOf } from "./elasticity.ts";
import type { RunConfig } from "./schema.ts";

/** A host of `--hosts` or a hostfile. */
export interface HostEntry {
  /** What ssh is told: HOST or USER@HOST. */
  readonly destination: string;
  readonly host: string;
  readonly port?: number;
  /** Workers on this host; absent for --gpus. */
  readonly gpus?: number;
}

/** Workers that a node may have; a larger number behind a host can only be a port. */
const maxGpus = 64;

/**
 * Reads `HOST`, `HOST:GPUS`, `HOST:PORT` (above 64), `HOST:PORT:GPUS`, each with `USER@` in front; IPv6 in brackets.
 * Returns a sentence where it is none of these. A name that starts with a dash would be an option of ssh.
 */
export function parseHost(text: string): HostEntry | string {
  const match =
    /^(?:(?<user>[\w.][\w.-]*)@)?(?<host>\[[\da-fA-F:.%\w]+\]|[\w][\w.-]*)(?<numbers>(?::\d{1,5}){0,2})$/.exec(text);
  if (!match) return `${JSON.stringify(text)} is not a host; write [USER@]HOST[:PORT][:GPUS].`;
  const { user, host: written, numbers } = match.groups as { user?: string; host: string; numbers: string };
  const host = written.replace(/^\[(.*)\]$/, "$1");
  const [first, second] = numbers.split(":").slice(1).map(Number);
  const isPort = second !== undefined || (first ?? 0) > maxGpus;
  const port = isPort ? first : undefined;
  const gpus = isPort ? second : first;
  if (gpus === 0 || (gpus ?? 0) > maxGpus) return `${JSON.stringify(text)} must have 1 to ${maxGpus} GPUs.`;
  if (port !== undefined && (port < 1 || port > 65535))
    return `${JSON.stringify(text)} must have a port of 1 to 65535.`;
  return {
    destination: user === undefined ? host : `${user}@${host}`,
    host,
    ...(port === undefined ? {} : { port }),
    ...(gpus === undefined ? {} : { gpus }),
  };
}

/** A host as `--hosts` takes it; the opposite of parseHost. */
export function formatHost({ destination, gpus, host, port }: HostEntry): string {
  const name = host.includes(":") ? `${destination.slice(0, -host.length)}[${host}]` : destination;
  return [name, ...(port === undefined ? [] : [port]), ...(gpus === undefined ? [] : [gpus])].join(":");
}

/**
 * Reads a hostfile as DeepSpeed and Open MPI write it: `HOST slots=N` per line, `#` begins a comment. A number behind
 * the host's colon is its ssh port. Returns entries in the form of `--hosts`, or a sentence that names the line.
 */
export function parseHostfile(text: string): string[] | string {
  const found: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const [name, ...options] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (!name) continue;
    const slots = options.map((option) => /^slots=(\d{1,3})$/.exec(option)?.[1]);
    if (options.length > 1 || slots.includes(undefined)) {
      return `line ${index + 1}: ${JSON.stringify(line.trim())} must look like \`host slots=8\`.`;
    }
    const entry = parseHost(slots[0] === undefined ? name : `${name}:${slots[0]}`);
    if (typeof entry === "string") return `line ${index + 1}: ${entry}`;
    found.push(formatHost(entry));
  }
  return found.length > 0 ? found : "it names no host.";
}

/** The hosts of a configuration, which has been checked. */
export function hostsOf({ hosts }: Pick<RunConfig, "hosts">): HostEntry[] {
  return hosts.flatMap((text) => {
    const entry = parseHost(text);
    return typeof entry === "string" ? [] : [entry];
  });
}

/** Workers of each node, by node rank. */
export function gpusOfNodes(config: Pick<RunConfig, "gpus" | "hosts" | "launcher" | "nodes">): number[] {
  if (config.launcher === "ssh") return hostsOf(config).map(({ gpus }) => gpus ?? config.gpus);
  return Array.from({ length: config.nodes }, () => config.gpus);
}

/** Workers of each node that may take part: of those that the run starts with, and of those that may join an elastic one. */
export function gpusOfAllNodes(config: NodeSettings): number[] {
  const gpus = gpusOfNodes(config);
  const more = Math.max(0, (elasticityOf(config)?.maxNodes ?? 0) - gpus.length);
  return [...gpus, ...Array.from({ length: more }, () => config.gpus)];
}

/** Workers of the run when as many nodes are here as may be. */
export function mostWorkersOf(config: NodeSettings): number {
  return gpusOfAllNodes(config).reduce((sum, gpus) => sum + gpus, 0);
}

type NodeSettings = Pick<
  RunConfig,
  "elastic" | "gpus" | "hosts" | "launcher" | "maxNodes" | "minNodes" | "nodes" | "rejoinTimeoutMs"
>;

/** Workers of the run. */
export function worldSizeOf(config: Pick<RunConfig, "gpus" | "hosts" | "launcher" | "nodes">): number {
  return gpusOfNodes(config).reduce((sum, gpus) => sum + gpus, 0);
}

/** Rank of a node's first worker when everybody is here. */
export function firstRankOf(gpus: readonly number[], nodeRank: number): number {
  return gpus.slice(0, nodeRank).reduce((sum, count) => sum + count, 0);
}

/** Sentences for hosts that cannot be used as they are given. */
export function hostProblems(config: Pick<RunConfig, "hosts" | "launcher">): string[] {
  const entries = config.hosts.map(parseHost);
  const wrong = entries.filter((entry) => typeof entry === "string").map((sentence) => `--hosts: ${sentence}`);
  if (wrong.length > 0) return wrong;
  if (config.launcher !== "ssh") return [];
  return config.hosts.length === 0 ? ["--launcher ssh needs --hosts or --hostfile."] : [];
}
