import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:net";
import { formatHost, type HostEntry, hostsOf } from "../../../shared/config/hosts.ts";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { CoordError } from "../../../shared/errors.ts";
import { describeModel } from "../../../shared/hosts/describeModel.ts";
import { hostFactsSchema, type ModelFile } from "../../../shared/hosts/messages.ts";
import { packageVersion } from "../../../shared/process/packageVersion.ts";
import { renderTable } from "../../observe/renderStatus.ts";
import { parsePortRange } from "../../ports/portRange.ts";
import { describeSshEnd } from "./describeSshEnd.ts";
import { type HostAnswer, type HostProblem, judgeHost } from "./judgeHosts.ts";
import { remoteCommand } from "./remoteCommand.ts";
import { runOnHost } from "./sshSession.ts";

/** Milliseconds that all hosts together have to answer. */
const timeoutMs = 60_000;

/**
 * Asks all hosts at once whether they can take part. Throws PREFLIGHT_REFUSED with one table of everything that is wrong
 * anywhere; `onLine` gets what is only worth knowing.
 */
export async function checkHosts(
  config: RunConfig,
  signal: AbortSignal,
  onLine: (line: string) => void = () => {},
): Promise<void> {
  const found = await askHosts(config, signal);
  const rows = found.flatMap(({ host, problems }) =>
    problems.map(({ fatal, problem }) => ({ fatal, cells: [formatHost(host), problem] })),
  );
  for (const { cells } of rows.filter(({ fatal }) => !fatal)) onLine(`Host ${cells.join(": ")}.`);
  const fatal = rows.filter((row) => row.fatal);
  if (fatal.length === 0) return;
  const table = renderTable(
    ["host", "problem"],
    fatal.map(({ cells }) => cells),
  ); // prettier-ignore
  const count = new Set(fatal.map(({ cells }) => cells[0])).size;
  throw new CoordError(
    "PREFLIGHT_REFUSED",
    `${count} of ${found.length} hosts cannot take part:\n${table.join("\n")}\nNothing was started.`,
  );
}

/** What a host has answered, and what is wrong with it. */
export interface AskedHost {
  readonly host: HostEntry;
  /** Absent where it gave no answer that could be read. */
  readonly answer?: HostAnswer;
  readonly problems: readonly HostProblem[];
}

/** Asks all hosts at once; each is in the result, whatever came of it. */
export async function askHosts(config: RunConfig, signal: AbortSignal): Promise<AskedHost[]> {
  const modelFiles = await describeModel(config.model!);
  const greeting = randomBytes(12).toString("hex");
  const listener = await openListener(config, greeting);
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), timeoutMs);
  const abort = () => limit.abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    const callback = listener && `${hostForUrl(config.advertise ?? config.listen)}:${listener.port}`;
    const found = await Promise.all(
      hostsOf(config).map((host) => askHost(host, { config, modelFiles, greeting, callback, signal: limit.signal })),
    );
    signal.throwIfAborted();
    return found;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
    listener?.server.close();
  }
}

async function askHost(
  host: HostEntry,
  options: {
    readonly config: RunConfig;
    readonly modelFiles: readonly ModelFile[];
    readonly greeting: string;
    readonly callback: string | undefined;
    readonly signal: AbortSignal;
  },
): Promise<AskedHost> {
  const { callback, config, greeting, modelFiles, signal } = options;
  const input = JSON.stringify({ model: config.model!, greeting, ...(callback === undefined ? {} : { callback }) });
  const words = [...remoteCommand(config), "agent", "--check"];
  const askedMs = Date.now();
  const end = await runOnHost(host, words, config, { input, signal });
  const answeredMs = Date.now();
  const silent = (problem: string): AskedHost => ({ host, problems: [{ fatal: true, problem }] });
  if (signal.aborted) return silent(`no answer within ${timeoutMs / 1000} s`);
  const facts = parseFacts(end.stdout);
  if (facts === undefined) return silent(describeSshEnd(host, end, false).replace(/\.$/, ""));
  const answer = { facts, askedMs, answeredMs };
  const problems = judgeHost(answer, {
    version: packageVersion(),
    node: process.version,
    gpus: host.gpus ?? config.gpus,
    model: config.model!,
    modelFiles,
    threadsPerWorker: config.threadsPerWorker,
    device: config.device,
  });
  return { host, answer, problems };
}

/** The facts in the last line: a login shell may greet first. */
function parseFacts(stdout: string) {
  const line = stdout.trim().split("\n").at(-1) ?? "";
  try {
    return hostFactsSchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Stands in for the coordinator, on its address and, where that is settled, its port; undefined where that is taken. */
async function openListener(
  { listen, masterPort, portRange }: RunConfig,
  greeting: string,
): Promise<{ server: Server; port: number } | undefined> {
  const range = portRange === undefined ? undefined : parsePortRange(portRange);
  const ports =
    masterPort === 0 && range
      ? Array.from({ length: range.to - range.from + 1 }, (_, index) => range.from + index)
      : [masterPort];
  for (const port of ports) {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(greeting);
    });
    const bound = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, listen, () => resolve(true));
    });
    const address = server.address();
    if (bound && typeof address === "object" && address) return { server, port: address.port };
  }
  return undefined;
}

function hostForUrl(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
