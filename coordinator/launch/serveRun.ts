import { readFile } from "node:fs/promises";
import type { ConfigKey, RunConfig } from "../../shared/config/schema.ts";
import { tlsMode } from "../../shared/config/tlsMode.ts";
import { CoordError } from "../../shared/errors.ts";
import { createLogger } from "../../shared/log.ts";
import { writeFileAtomic } from "../../shared/process/atomicFile.ts";
import { coordHome } from "../../shared/runPaths.ts";
import { runCoordinatorProcess } from "../coordinatorProcess.ts";
import { RunDirectory } from "../runs/runDirectory.ts";
import { isRunId } from "../runs/runId.ts";
import { localConfig } from "./localConfig.ts";
import { pinConfig } from "./pinConfig.ts";
import { preflight } from "./preflight.ts";

/** A token shorter than this can be guessed, in characters. */
const minTokenLength = 22;

/**
 * Runs a coordinator in this process, for agents that are started from outside; returns the exit code. A run of that id
 * that has left checkpoints in the output directory is continued.
 */
export async function serveRun(options: {
  readonly config: RunConfig;
  readonly sources: Readonly<Partial<Record<ConfigKey, string>>>;
  readonly runId: string;
  readonly tokenFile: string;
  /** The token for those who only look; absent for one that is made here. */
  readonly viewerTokenFile?: string | undefined;
  readonly terminated: AbortSignal;
}): Promise<number> {
  const { runId } = options;
  if (!isRunId(runId)) {
    throw new CoordError(
      "CONFIG_INVALID",
      `${JSON.stringify(runId)} cannot be a run's id: letters, digits, ".", "_", "-".`,
    );
  }
  const local = await localConfig(options.config, options.terminated);
  const pinned = pinConfig({ ...local, launcher: "none" }, options.sources);
  const output = pinned.output.replaceAll("{run}", runId);
  const config = { ...pinned, output };
  if (tlsMode(config) === "run") {
    throw new CoordError(
      "CONFIG_INVALID",
      `--listen ${config.listen} is open to the network, and agents that something else starts cannot get certificates that are made here: give --tls-cert, --tls-key and --tls-ca, or --insecure on a network where you trust everybody.`,
    );
  }
  await preflight(config, options.terminated, false);
  const token = await readToken("COORD_TOKEN_FILE", options.tokenFile);
  const directory = await RunDirectory.adopt(coordHome(), { config, output, runId, token });
  if (options.viewerTokenFile !== undefined) {
    const viewer = await readToken("COORD_VIEWER_TOKEN_FILE", options.viewerTokenFile);
    await writeFileAtomic(directory.paths.viewerToken, `${viewer}\n`, { mode: 0o600 });
  }
  return runCoordinatorProcess({
    directory,
    from: undefined,
    logger: createLogger("coordinator"),
    terminated: options.terminated,
  });
}

async function readToken(variable: string, path: string): Promise<string> {
  const token = await readFile(path, "utf8").catch((cause: unknown) => {
    throw new CoordError("CONFIG_INVALID", `${variable} names ${path}, which cannot be read.`, { cause });
  });
  if (!/^[\x21-\x7e]+$/.test(token.trim()) || token.trim().length < minTokenLength) {
    throw new CoordError(
      "CONFIG_INVALID",
      `${path} does not hold a token: one line of at least ${minTokenLength} printable characters, for example from \`openssl rand -base64 32\`.`,
    );
  }
  return token.trim();
}
