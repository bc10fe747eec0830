import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordHome, finalDigests } from "../support/coord.ts";
import { smallRun } from "../support/smallRun.ts";

const launches = 10;

describe("ten launches at the same moment on one host", () => {
  let home: CoordHome;
  let flags: string[];
  beforeAll(async () => {
    home = await CoordHome.create();
    flags = [...(await smallRun(home)), "--nodes", "1", "--gpus", "2", "--max-steps", "5"];
  });
  afterAll(() => home.remove());

  it("all finish, each with its own workers, none with a port in use", async () => {
    // One port of the range is taken by a stranger. Below the ports that the system gives to outgoing connections.
    const stranger = createServer();
    const squatted = await listenBetween(stranger, 20_000, 32_000);
    const range = `${squatted}-${squatted + 2 * launches}`;
    const outputs = Array.from({ length: launches }, (_, index) => home.path(`output-${index}`));
    const results = await Promise.all(
      outputs.map((output) => home.coord(["launch", ...flags, "--port-range", range, "--output", output])),
    );
    stranger.close();
    for (const result of results) expect(result, `${result.stderr}\n${result.stdout}`).toMatchObject({ exitCode: 0 });

    const runs = await readdir(join(home.home, "runs"));
    expect(runs).toHaveLength(launches);
    const ports = new Set<string>();
    for (const run of runs) {
      const directory = join(home.home, "runs", run);
      const logs = await readAll(join(directory, "logs"));
      expect(logs).not.toContain("EADDRINUSE");
      expect(logs).not.toContain("NOT_A_MEMBER");
      const events = await readFile(join(directory, "events.jsonl"), "utf8");
      expect(events.match(/"kind":"membership"[^\n]*"members":2/g)).toHaveLength(1);
      const { address } = JSON.parse(await readFile(join(directory, "coordinator.json"), "utf8")) as {
        address: string;
      };
      ports.add(address.split(":")[1]!);
    }
    expect(ports.size).toBe(launches);
    expect(ports).not.toContain(String(squatted));

    // The same seed and data: a worker that had joined another run would have left its mark here.
    const digests = await Promise.all(outputs.map((output) => finalDigests(output, 5)));
    for (const digest of digests) expect(digest).toEqual(digests[0]);
  });
});

/** Listens on the first free port that a walk from a random place finds. */
async function listenBetween(server: Server, from: number, to: number): Promise<number> {
  for (let port = from + Math.floor(Math.random() * (to - from)); ; port++) {
    server.listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
      return port;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EADDRINUSE") throw thrown;
    }
  }
}

async function readAll(directory: string): Promise<string> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return (await Promise.all(files.map((file) => readFile(file, "utf8")))).join("\n");
}
