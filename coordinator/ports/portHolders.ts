import { readdir, readFile, readlink } from "node:fs/promises";
import { readEnvironment } from "../../shared/process/identity.ts";
import { listPids, readNulList } from "../../shared/process/procfs.ts";

/** A process that listens on a TCP port of this host. */
export interface PortHolder {
  readonly pid: number;
  readonly command: string;
  /** COORD_RUN_ID of the process; undefined for strangers. */
  readonly runId: string | undefined;
}

/** Finds who listens on which TCP port, as far as this user may see; Linux only. */
export async function findPortHolders(): Promise<Map<number, PortHolder>> {
  const holders = new Map<number, PortHolder>();
  for (const [pid, ports] of await listeningPorts(listPids())) {
    const command = (readNulList(`/proc/${pid}/cmdline`) ?? []).join(" ");
    const runId = readEnvironment(pid)?.get("COORD_RUN_ID");
    for (const port of ports) if (!holders.has(port)) holders.set(port, { pid, command, runId });
  }
  return holders;
}

/** The TCP ports that each of these processes listens on, ascending; processes without one are left out. */
export async function listeningPorts(pids: readonly number[]): Promise<Map<number, number[]>> {
  const tables = await Promise.all(
    ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  const portByInode = new Map(tables.flatMap((table) => [...parseListeners(table)]));
  const byPid = new Map<number, number[]>();
  for (const pid of pids) {
    const ports = portByInode.size > 0 ? await portsOf(pid, portByInode) : [];
    if (ports.length > 0) byPid.set(pid, ports);
  }
  return byPid;
}

/** Parses /proc/net/tcp or tcp6: the ports of listening sockets by inode of the socket. */
export function parseListeners(table: string): Map<string, number> {
  const listenState = "0A";
  const listeners = new Map<string, number>();
  for (const line of table.split("\n").slice(1)) {
    // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …
    const fields = line.trim().split(/\s+/);
    const [local, state, inode] = [fields[1], fields[3], fields[9]];
    if (state !== listenState || inode === undefined) continue;
    const port = Number.parseInt(local?.split(":").at(-1) ?? "", 16);
    if (port > 0) listeners.set(inode, port);
  }
  return listeners;
}

async function portsOf(pid: number, portByInode: ReadonlyMap<string, number>): Promise<number[]> {
  const directory = `/proc/${pid}/fd`;
  const descriptors = await readdir(directory).catch(() => []);
  const links = await Promise.all(descriptors.map((name) => readlink(`${directory}/${name}`).catch(() => "")));
  const ports = links.flatMap((target) => portByInode.get(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? "") ?? []);
  return [...new Set(ports)].sort((a, b) => a - b);
}
