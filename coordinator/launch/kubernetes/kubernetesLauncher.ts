import { join } from "node:path";
import { systemClock } from "../../../shared/clock.ts";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { CoordError } from "../../../shared/errors.ts";
import type { Launcher, LaunchOptions } from "../launcher.ts";
import { startWatch, type Watch } from "../watchCoordinator.ts";
import { agentObjects, objectsName, runSelector } from "./agentObjects.ts";
import { judgeJob } from "./judgeJob.ts";
import { kubectl, kubectlProblem } from "./kubectl.ts";
import { readWorkerJob } from "./readWorkerJob.ts";

export interface KubernetesLauncherOptions extends LaunchOptions {
  readonly config: RunConfig;
  /** Text of the credentials file that agents join with. */
  credentials(): Promise<string>;
  /** Variables for agents and workers. */
  readonly environment: Readonly<Record<string, string>>;
  onTrouble(nodeRank: number, message: string): void;
}

/** Milliseconds between two looks at the Job. */
const lookMs = 2000;
/** Milliseconds that the agents' pods have to end after they were ordered to. */
const stopTimeoutMs = 30_000;

/** Starts agents as the pods of an indexed Job, which starts a pod again under the same index when it or its node is lost. */
export class KubernetesLauncher implements Launcher {
  readonly #stopping = new AbortController();
  #watching: Promise<void> = Promise.resolve();
  #watch: Watch | undefined;

  constructor(private readonly options: KubernetesLauncherOptions) {}

  async start(): Promise<void> {
    await this.#apply();
    // The agents are elsewhere: without it a coordinator that is killed would stay dead.
    const { home, logs, processes, runId } = this.options;
    this.#watch = await startWatch({ home, runId, processes, log: join(logs, "watch.log") });
    this.#watching = this.#watchJob();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watch?.end();
    await this.#watching;
    const deadline = systemClock.monotonicMs() + stopTimeoutMs;
    while ((await this.#look()) === "going on" && systemClock.monotonicMs() < deadline) await systemClock.sleep(500);
    const removed = await removeObjects(this.options.config, this.options.runId);
    if (removed !== undefined) this.options.onTrouble(0, `What the run has in the cluster stays there: ${removed}`);
  }

  /** Objects that are there already stay as they are: a coordinator that was started again finds its agents. */
  async #apply(): Promise<void> {
    const { address, config, credentials, environment, runId } = this.options;
    const base = await readWorkerJob();
    const items = agentObjects({ base, runId, config, address, environment, credentials: await credentials() });
    const input = JSON.stringify({ apiVersion: "v1", kind: "List", items });
    const result = await kubectl(config, ["apply", "--validate=strict", "-f", "-"], { input });
    if (result.exitCode !== 0) {
      throw new CoordError(
        "PREFLIGHT_REFUSED",
        `The cluster did not take the run's objects: ${kubectlProblem(result)}`,
      );
    }
  }

  async #watchJob(): Promise<void> {
    let silent = false;
    while (!this.#stopping.signal.aborted) {
      await systemClock.sleep(lookMs, this.#stopping.signal).catch(() => {});
      if (this.#stopping.signal.aborted) return;
      const state = await this.#look();
      if (state === "unknown" && !silent) this.options.onTrouble(0, "The cluster does not answer; trying again.");
      silent = state === "unknown";
      if (state === "going on" || state === "unknown") continue;
      const how = state === "missing" ? "has lost its Job, which somebody deleted" : "is given up by the cluster";
      if (this.options.onAgentExit(0, how) === "leave") return;
      await removeObjects(this.options.config, this.options.runId);
      await this.#apply().catch((thrown: unknown) => this.options.onTrouble(0, String(thrown)));
    }
  }

  async #look(): Promise<ReturnType<typeof judgeJob>> {
    const { config, runId } = this.options;
    return judgeJob(await kubectl(config, ["get", "job", objectsName(runId), "--ignore-not-found", "-o", "json"]));
  }
}

/** Deletes everything that a run has in a cluster and waits until its pods are gone; returns what went wrong. */
export async function removeObjects(config: RunConfig, runId: string): Promise<string | undefined> {
  const args = ["delete", "job,secret", "-l", runSelector(runId), "--cascade=foreground", "--timeout=25s"];
  const result = await kubectl(config, args);
  return result.exitCode === 0 ? undefined : kubectlProblem(result);
}
