import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { formatHost, type HostEntry, hostsOf } from "../../../shared/config/hosts.ts";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { isLoopback } from "../../../shared/config/tlsMode.ts";
import { CoordError } from "../../../shared/errors.ts";
import { runOnHost } from "./sshSession.ts";

/** The configuration with an address that the hosts can reach, unless the user has given one. */
export async function listenForHosts(config: RunConfig, listenGiven: boolean, signal: AbortSignal): Promise<RunConfig> {
  if (config.launcher !== "ssh" || listenGiven) return config;
  return { ...config, listen: await chooseAddress(config, signal) };
}

/**
 * The address of this host that the other hosts can reach: that of --interface, or the one that packets to them would
 * carry. Throws CONFIG_INVALID where it cannot be told.
 */
async function chooseAddress(config: RunConfig, signal: AbortSignal): Promise<string> {
  if (config.interface !== undefined) return addressOf(config.interface);
  const found = await Promise.all(
    hostsOf(config).map(async (host) => ({ host, address: await sourceAddress(await realName(host, config, signal)) })),
  );
  const reached = found.filter(({ address }) => address !== undefined && !isLoopback(address));
  const [first] = reached;
  // This host under another name, if at all; ssh has the say about a name that DNS does not know.
  if (first === undefined) {
    if (found.every(({ address }) => address !== undefined)) return "127.0.0.1";
    throw new CoordError(
      "CONFIG_INVALID",
      "The address at which the hosts reach this one cannot be told; name it with --interface or --listen.",
    );
  }
  const other = reached.find(({ address }) => address !== first.address);
  if (other !== undefined) {
    throw new CoordError(
      "CONFIG_INVALID",
      `${formatHost(first.host)} is reached from ${first.address}, ${formatHost(other.host)} from ${other.address}; ` +
        "choose with --interface, or give --listen 0.0.0.0 --advertise NAME.",
    );
  }
  return first.address!;
}

function addressOf(name: string): string {
  const interfaces = networkInterfaces();
  const addresses = interfaces[name]?.filter(({ address }) => !address.startsWith("fe80:")) ?? [];
  const chosen = addresses.find(({ family }) => family === "IPv4") ?? addresses[0];
  if (chosen) return chosen.address;
  const known = Object.keys(interfaces).join(", ");
  throw new CoordError("CONFIG_INVALID", `--interface ${name} is not there or has no address; there are ${known}.`);
}

/** What ~/.ssh/config makes of a host's name. */
async function realName(host: HostEntry, config: RunConfig, signal: AbortSignal): Promise<string> {
  const { stdout } = await runOnHost(host, [], { ...config, sshArg: [...config.sshArg, "-G"] }, { signal });
  return /^hostname (\S+)$/m.exec(stdout)?.[1] ?? host.host;
}

/** The address from which packets to a host would come; undefined where its name is not known. Nothing is sent. */
async function sourceAddress(host: string): Promise<string | undefined> {
  const target = await lookup(host).catch(() => undefined);
  if (!target) return undefined;
  const socket = createSocket(target.family === 6 ? "udp6" : "udp4");
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      // Port 9: discard. Connecting a datagram socket only asks the routing table.
      socket.connect(9, target.address, () => resolve());
    });
    return socket.address().address;
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
}
