import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { hostProblems, parseHostfile } from "../../shared/config/hosts.ts";
import type { ResolvedConfig } from "../../shared/config/resolve.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { CoordError } from "../../shared/errors.ts";

/**
 * Settles what follows from --hosts or --hostfile: the launcher, and the number of nodes, which --nodes may cut short.
 * Throws CONFIG_INVALID for a hostfile that cannot be read, and for more nodes than hosts.
 */
export async function placeOnHosts(resolved: ResolvedConfig, directory: string): Promise<ResolvedConfig> {
  const { config, sources } = resolved;
  const given = await givenHosts(config, directory);
  if (given.length === 0) return resolved;
  const wanted = sources.nodes === "default" ? given.length : config.nodes;
  if (wanted > given.length) {
    throw new CoordError("CONFIG_INVALID", `--nodes ${wanted} are more than the ${given.length} hosts.`);
  }
  const launcher = sources.launcher === "default" ? "ssh" : config.launcher;
  const { hostfile: _, ...rest } = config;
  const placed = { ...rest, launcher, hosts: given.slice(0, wanted), nodes: wanted };
  const [problem] = hostProblems(placed);
  if (problem !== undefined) throw new CoordError("CONFIG_INVALID", problem);
  return { config: placed, sources };
}

/** What a resume changes: other hosts are other nodes. */
export async function placeOverrides(overrides: Partial<RunConfig>, directory: string): Promise<Partial<RunConfig>> {
  const { hostfile: _, ...rest } = overrides;
  const hosts = await givenHosts({ ...overrides, hosts: overrides.hosts ?? [] }, directory);
  return hosts.length === 0 ? rest : { ...rest, hosts, nodes: hosts.length, launcher: rest.launcher ?? "ssh" };
}

async function givenHosts(
  { hostfile, hosts }: Pick<RunConfig, "hosts"> & Partial<Pick<RunConfig, "hostfile">>,
  directory: string,
): Promise<string[]> {
  if (hostfile === undefined) return hosts;
  if (hosts.length > 0) throw new CoordError("CONFIG_INVALID", "Give either --hosts or --hostfile, not both.");
  return readHostfile(resolve(directory, hostfile));
}

async function readHostfile(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new CoordError("CONFIG_INVALID", `--hostfile names ${path}, which cannot be read (${cause.code}).`, {
      cause,
    });
  });
  const hosts = parseHostfile(text);
  if (typeof hosts === "string") throw new CoordError("CONFIG_INVALID", `--hostfile ${path}, ${hosts}`);
  return hosts;
}
