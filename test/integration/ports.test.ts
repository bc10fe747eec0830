import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, it, onTestFinished } from "vitest";
import { packageRoot } from "../../shared/process/packageRoot.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const host = "127.0.0.1";
const modulePath = join(packageRoot(), "dist", "coordinator", "ports", "bindLeased.js");

/** Binds a port of a range, prints it, and holds it until standard input ends. */
const program = `
  import { once } from "node:events";
  import { createServer } from "node:net";
  import { bindLeased } from ${JSON.stringify(pathToFileURL(modulePath).href)};
  const [home, runId, from, to] = process.argv.slice(1);
  const server = createServer();
  const listen = async (port) => {
    server.listen(port, "${host}");
    await once(server, "listening");
    return server.address().port;
  };
  const portRange = { from: Number(from), to: Number(to) };
  const bound = await bindLeased({ home, runId, host: "${host}", portRange, listen });
  process.stdout.write(String(bound.port));
  process.stdin.resume();
  await once(process.stdin, "end");
  server.close();
  await bound.release();
`;

it("ten processes at the same moment take ten ports of a range, past a squatted one", async () => {
  const home = temporaryDirectory();
  const squatter = createServer().listen(0, host);
  await once(squatter, "listening");
  onTestFinished(() => void squatter.close());
  const squatted = (squatter.address() as AddressInfo).port;
  const [from, to] = [squatted - 10, squatted + 20];

  const launches: { child: ChildProcess; port: Promise<number> }[] = [];
  onTestFinished(() => {
    for (const { child } of launches) child.kill("SIGKILL");
  });
  for (let index = 0; index < 10; index++) {
    const args = ["--input-type=module", "-e", program, home, `run-${index}`, String(from), String(to)];
    const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
    const port = once(child.stdout, "data").then(([text]: unknown[]) => Number(String(text)));
    launches.push({ child, port });
  }
  const ports = await Promise.all(launches.map(({ port }) => port));
  expect(new Set(ports).size).toBe(10);
  expect(ports).not.toContain(squatted);
  expect(ports.every((port) => port >= from && port <= to)).toBe(true);

  const exits = launches.map(({ child }) => once(child, "exit"));
  for (const { child } of launches) child.stdin?.end();
  expect((await Promise.all(exits)).map(([code]) => code)).toEqual(Array(10).fill(0));
  expect(readdirSync(join(home, "ports"))).toEqual([]);
});
