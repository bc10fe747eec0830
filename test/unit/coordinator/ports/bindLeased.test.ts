import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { bindLeased, isAddressInUse } from "../../../../coordinator/ports/bindLeased.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const host = "127.0.0.1";

async function listen(port: number): Promise<number> {
  const server = createServer();
  onTestFinished(() => close(server));
  server.listen(port, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

describe("bindLeased", () => {
  it("lets the system choose when nothing is asked for, and keeps no lease", async () => {
    const home = temporaryDirectory();
    const { port } = await bindLeased({ home, runId: "run-a", host, listen });
    expect(port).toBeGreaterThan(0);
    expect(readdirSync(home)).toEqual([]);
  });

  it("gives ten launches at the same moment ten ports of a range, past a squatted one", async () => {
    const home = temporaryDirectory();
    const squatted = await listen(0);
    const portRange = { from: squatted, to: squatted + 30 };
    const launches = Array.from({ length: 10 }, (_, i) =>
      bindLeased({ home, runId: `run-${i}`, host, portRange, listen }),
    );
    const bound = await Promise.all(launches);
    const ports = bound.map(({ port }) => port);
    expect(new Set(ports).size).toBe(10);
    expect(ports).not.toContain(squatted);
    expect(ports.every((port) => port > squatted && port <= portRange.to)).toBe(true);
    expect(readdirSync(join(home, "ports"))).toHaveLength(10);
    for (const lease of bound) await lease.release();
    expect(readdirSync(join(home, "ports"))).toEqual([]);
  });

  it("takes the next port when the one that looked free is snatched away in front of the bind", async () => {
    const home = temporaryDirectory();
    const from = await listen(0);
    const asked: number[] = [];
    const { port } = await bindLeased({
      home,
      runId: "run-a",
      host,
      portRange: { from, to: from + 20 },
      listen: async (port) => {
        asked.push(port);
        // What @grpc/grpc-js makes of the system's error.
        if (asked.length === 1) throw new Error("No address added errors: [Error: listen EADDRINUSE: address in use]");
        return listen(port);
      },
    });
    expect(asked.length).toBeGreaterThanOrEqual(2);
    expect(port).toBe(asked.at(-1));
    expect(port).not.toBe(asked[0]);
  });

  it("names the range when none of its ports is free", async () => {
    const from = await listen(0);
    const options = { home: temporaryDirectory(), runId: "run-a", host, portRange: { from, to: from }, listen };
    await expect(bindLeased(options)).rejects.toMatchObject({
      code: "PORT_UNAVAILABLE",
      message: expect.stringContaining(`No port of ${from}-${from} is free`),
    });
  });

  it("refuses a fixed port that is taken, naming the port and its listener", async () => {
    const port = await listen(0);
    const options = { home: temporaryDirectory(), runId: "run-a", host, port, listen };
    await expect(bindLeased(options)).rejects.toMatchObject({
      code: "PORT_UNAVAILABLE",
      message: expect.stringMatching(new RegExp(`^Port ${port} is taken by .*which is not coord's`)),
    });
  });

  it("passes on an error that has nothing to do with the port, and gives the lease back", async () => {
    const home = temporaryDirectory();
    const broken = () => Promise.reject(new Error("no certificate"));
    const options = { home, runId: "run-a", host, portRange: { from: 29500, to: 29600 }, listen: broken };
    await expect(bindLeased(options)).rejects.toThrow("no certificate");
    expect(readdirSync(join(home, "ports"))).toEqual([]);
  });
});

describe("isAddressInUse", () => {
  it("knows the system's error and gRPC's text of it", () => {
    expect(isAddressInUse(Object.assign(new Error("x"), { code: "EADDRINUSE" }))).toBe(true);
    expect(isAddressInUse(new Error("errors: [listen EADDRINUSE: address already in use 127.0.0.1:1]"))).toBe(true);
    expect(isAddressInUse(new Error("no"))).toBe(false);
  });
});
