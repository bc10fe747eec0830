import { fileURLToPath } from "node:url";
import { gpusOfNodes } from "../../shared/config/hosts.ts";
import type { RunConfig } from "../../shared/config/schema.ts";
import { runPaths } from "../../shared/runPaths.ts";
import { agentProgram, type NodeProgram } from "./agentProgram.ts";
import { workerEnvironment } from "./workerEnvironment.ts";

const coordinatorEntry = fileURLToPath(new URL("../main.js", import.meta.url));
const workerEntry = fileURLToPath(new URL("../../worker/main.js", import.meta.url));

/** The commands of one place, for a shell. */
export interface PlaceCommands {
  /** "this host", "node 0". */
  readonly place: string;
  readonly commands: readonly string[];
}

/** What is only known once a run has started. */
const runId = "RUN";

/** The commands that a launch would execute on each node, with RUN and PORT for what is not known before the start. */
export function launchCommands(config: RunConfig, home: string): PlaceCommands[] {
  const paths = runPaths(home, runId);
  const host = config.advertise ?? config.listen;
  const port = config.masterPort === 0 ? "PORT" : String(config.masterPort);
  const address = `${host}:${port}`;
  const coordinator = { program: coordinatorEntry, args: [], env: { COORD_RUN_ID: runId, COORD_HOME: home } };
  const launch = {
    address,
    home,
    runId,
    tokenFile: paths.token,
    reconnectBudgetMs: config.reconnectBudgetMs,
  };
  const gpus = gpusOfNodes(config);
  const nodes = gpus.map((count, nodeRank) => ({
    place: `node ${nodeRank}`,
    commands: [
      agentCommand(config, launch, nodeRank),
      ...Array.from({ length: count }, (_, localRank) => {
        const env = workerEnvironment({
          ...{ runId, nodeRank, localRank, gpus, attempt: 0 },
          threads: config.threadsPerWorker,
          device: config.device,
          masterAddress: host,
          masterPort: config.masterPort,
          sharedHost: config.launcher === "local",
        });
        return shellCommand({ program: workerEntry, args: [], env: { ...env, MASTER_PORT: port } });
      }),
    ],
  }));
  return [{ place: "this host", commands: [shellCommand(coordinator)] }, ...nodes];
}

/** With --launcher none somebody else starts `coord agent`, and its files are that somebody's. */
function agentCommand(config: RunConfig, launch: Parameters<typeof agentProgram>[0], nodeRank: number): string {
  if (config.launcher === "local") return shellCommand(agentProgram(launch, nodeRank));
  const token = `COORD_RUN_ID=${runId} COORD_TOKEN_FILE=${quote(launch.tokenFile)}`;
  return `${token} coord agent --join ${quote(launch.address)} --node-rank ${nodeRank}`;
}

function shellCommand({ program, args, env }: NodeProgram): string {
  const assignments = Object.entries(env).map(([name, value]) => `${name}=${quote(value)}`);
  return [...assignments, quote(process.execPath), quote(program), ...args.map(quote)].join(" ");
}

/** As a POSIX shell reads it. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
