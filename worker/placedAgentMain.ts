import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { toCoordError } from "../shared/errors.ts";
import { endLine, type Placement, placementSchema } from "../shared/hosts/messages.ts";
import { type LoggedProcess, spawnLogged } from "../shared/process/spawnLogged.ts";
import { coordHome, runPaths } from "../shared/runPaths.ts";

// Places an agent on this host for a launcher on another one: takes settings and credentials from standard input, starts
// the agent in a session of its own and passes its end on. When the connection breaks this process ends and the agent
// stays: it has its own connection to the coordinator, and ends itself when that is gone for too long.

const entry = fileURLToPath(new URL("./agentMain.js", import.meta.url));

/** Milliseconds between SIGTERM and SIGKILL: an agent gives its workers five seconds. */
const graceMs = 8000;
/** Characters of an agent's log that explain its end. */
const lastCharacters = 2000;

let agent: LoggedProcess | undefined;
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  if (line === endLine) end();
  else if (agent === undefined) place(line).catch(fail);
});
lines.on("close", () => process.exit(0));
// Nobody reads on after the connection has broken.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => process.exit(0));

async function place(line: string): Promise<void> {
  const placement = placementSchema.parse(JSON.parse(line));
  const home = coordHome({ ...process.env, ...placement.environment });
  const paths = runPaths(home, placement.runId);
  const credentials = join(paths.root, `node_${placement.nodeRank}`);
  const log = join(paths.logs, `agent_${placement.nodeRank}.log`);
  await mkdir(paths.logs, { recursive: true, mode: 0o700 });
  const files = await writeCredentials(credentials, placement);
  agent = await spawnLogged({
    program: entry,
    args: ["--join", placement.join, "--node-rank", String(placement.nodeRank)],
    env: { ...placement.environment, ...files, COORD_RUN_ID: placement.runId, COORD_HOME: home },
    stdout: log,
    stderr: log,
    detached: true,
  });
  process.stdout.write(`${JSON.stringify({ hostname: hostname(), pid: agent.pid, log })}\n`);
  const { exitCode, signal } = await agent.ended;
  await rm(credentials, { recursive: true, force: true });
  if (exitCode !== 0) {
    const text = await readFile(log, "utf8").catch(() => "");
    process.stderr.write(`${signal ? `ended by ${signal}` : ""}\n${text.slice(-lastCharacters)}`);
  }
  process.exit(exitCode === -1 ? 1 : exitCode);
}

/** Writes each credential into a file of this user alone; returns the variables that name them. */
async function writeCredentials(directory: string, { files }: Placement): Promise<Record<string, string>> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const named: Record<string, string> = {};
  for (const [variable, content] of Object.entries(files)) {
    named[variable] = join(directory, variable.toLowerCase());
    await writeFile(named[variable], content, { flag: "wx", mode: 0o600 });
  }
  return named;
}

function end(): void {
  agent?.kill("SIGTERM");
  setTimeout(() => agent?.kill("SIGKILL"), graceMs).unref();
}

function fail(thrown: unknown): void {
  const error = toCoordError(thrown);
  process.stderr.write(`${error.message}\n`);
  process.exit(error.exitCode);
}
