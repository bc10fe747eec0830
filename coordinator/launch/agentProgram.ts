import { fileURLToPath } from "node:url";
import type { LaunchOptions } from "./launcher.ts";

/** The agent's program. A process boundary, not an import: the coordinator's source knows nothing of the worker's. */
const entry = fileURLToPath(new URL("../../worker/agentMain.js", import.meta.url));

/** A Node program with its arguments and what it needs in its environment. */
export interface NodeProgram {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** What starts the agent of a simulated node. */
export function agentProgram(
  options: Pick<LaunchOptions, "address" | "home" | "reconnectBudgetMs" | "runId" | "tokenFile"> & {
    /** False where something else starts a crashed coordinator again. */
    readonly supervise?: boolean;
  },
  nodeRank: number,
): NodeProgram {
  const { address, home, reconnectBudgetMs, runId, supervise = true, tokenFile } = options;
  return {
    program: entry,
    // One agent, on the coordinator's own host, starts it again should it crash.
    args: ["--join", address, "--node-rank", String(nodeRank), ...(nodeRank === 0 && supervise ? ["--supervise"] : [])],
    env: {
      COORD_RUN_ID: runId,
      COORD_HOME: home,
      COORD_TOKEN_FILE: tokenFile,
      COORD_RECONNECT_BUDGET_MS: String(reconnectBudgetMs),
    },
  };
}
