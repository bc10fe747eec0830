import { join } from "node:path";
import getPort, { portNumbers } from "get-port";
import { CoordError } from "../../shared/errors.ts";
import { acquireLock, type HeldLock, readLock } from "../../shared/process/exclusiveLock.ts";
import { decidePort, type PortRequest, portRequest } from "./decidePort.ts";
import { explainFixedPort, explainRange, type TakenPort } from "./explainPorts.ts";
import { findPortHolders, type PortHolder } from "./portHolders.ts";
import type { PortRange } from "./portRange.ts";

export interface BindOptions {
  readonly home: string;
  readonly runId: string;
  /** Address to bind. */
  readonly host: string;
  /** Ports to take one from. */
  readonly portRange?: PortRange | undefined;
  /** The one port to take; 0 or absent for any. */
  readonly port?: number | undefined;
  /** Binds and returns the port really bound; rejects with the system's EADDRINUSE. */
  listen(port: number): Promise<number>;
  readonly signal?: AbortSignal;
}

export interface BoundPort {
  /** The port really bound. */
  readonly port: number;
  /** Gives the lease back; to be called after the listener is closed. */
  release(): Promise<void>;
}

/**
 * Binds a listener: to any free port, or to one that a lease under COORD_HOME/ports keeps other launches off, going on
 * to the next when a stranger has it. Throws PORT_UNAVAILABLE saying who has the ports.
 */
export async function bindLeased(options: BindOptions): Promise<BoundPort> {
  const { host, listen, signal } = options;
  const request = portRequest(options);
  const tried = new Set<number>();
  for (;;) {
    signal?.throwIfAborted();
    const suggested = request.kind === "range" ? await suggest(request.range, host, tried) : undefined;
    const step = decidePort(request, tried, suggested);
    if (step.kind === "give up") throw await unavailable(options.home, request, tried);
    const lease = step.leased ? await takeLease(options, step.port) : noLease;
    if (lease) {
      try {
        return { port: await listen(step.port), release: () => lease.release() };
      } catch (thrown) {
        await lease.release();
        if (isForbidden(thrown)) throw forbidden(step.port, host, thrown);
        if (!isAddressInUse(thrown)) throw thrown;
      }
    }
    tried.add(step.port);
  }
}

/** Path of the lease of a port, without the number that the lock adds. */
export function leasePath(home: string, port: number): string {
  return join(home, "ports", String(port));
}

/** True for EADDRINUSE, also where a library hands the system's error on as text. */
export function isAddressInUse(thrown: unknown): boolean {
  return mentions(thrown, "EADDRINUSE");
}

const noLease: HeldLock = { release: async () => {} };

async function takeLease({ home, runId }: BindOptions, port: number): Promise<HeldLock | undefined> {
  const taken = await acquireLock(leasePath(home, port), runId);
  return "release" in taken ? taken : undefined;
}

/** A port of the range that looks free; get-port answers with one outside of the range when none does. */
async function suggest({ from, to }: PortRange, host: string, tried: ReadonlySet<number>): Promise<number | undefined> {
  try {
    return await getPort({ port: portNumbers(from, to), host, exclude: tried });
  } catch {
    // An address that cannot be bound at all: `listen` says so in its own words.
    return undefined;
  }
}

function isForbidden(thrown: unknown): boolean {
  return mentions(thrown, "EACCES");
}

function mentions(thrown: unknown, code: string): boolean {
  if (!(thrown instanceof Error)) return false;
  return (thrown as NodeJS.ErrnoException).code === code || thrown.message.includes(code);
}

function forbidden(port: number, host: string, cause: unknown): CoordError {
  return new CoordError(
    "PORT_UNAVAILABLE",
    `This user may not listen on port ${port} of ${host}; choose one from 1024 on.`,
    { cause },
  );
}

async function unavailable(home: string, request: PortRequest, tried: ReadonlySet<number>): Promise<CoordError> {
  const holders = await findPortHolders().catch(() => new Map<number, PortHolder>());
  const taken = await Promise.all(
    [...tried].sort((a, b) => a - b).map((port) => describePort(home, port, holders.get(port))),
  );
  switch (request.kind) {
    case "fixed":
      return new CoordError("PORT_UNAVAILABLE", explainFixedPort(taken[0]!));
    case "range":
      return new CoordError("PORT_UNAVAILABLE", explainRange(request.range, taken));
    case "any":
      return new CoordError("PORT_UNAVAILABLE", "The system has no free port left; end some programs and try again.");
  }
}

async function describePort(home: string, port: number, holder: PortHolder | undefined): Promise<TakenPort> {
  const lease = (await readLock(leasePath(home, port))).find(({ alive }) => alive);
  return { port, holder, leasedBy: lease?.holder?.runId };
}
