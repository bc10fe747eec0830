import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import type { RunConfig } from "../../../shared/config/schema.ts";
import { CoordError } from "../../../shared/errors.ts";
import { AgentKeeper, type AgentStart, type KeeperOptions } from "../agentKeeper.ts";
import { agentProgram } from "../agentProgram.ts";
import { givenVariables } from "../givenVariables.ts";
import type { Launcher } from "../launcher.ts";

export interface SlurmLauncherOptions extends KeeperOptions {
  readonly config: RunConfig;
}

/** Milliseconds between two looks whether an agent has come to life. */
const lookMs = 250;

/** Starts agents on the nodes of the Slurm job that this coordinator runs in: one step (`srun`) per node. */
export class SlurmLauncher implements Launcher {
  readonly #keeper: AgentKeeper;
  #hosts: readonly string[] = [];

  constructor(private readonly options: SlurmLauncherOptions) {
    this.#keeper = new AgentKeeper(options, (nodeRank) => this.#startAgent(nodeRank));
  }

  async start(): Promise<void> {
    this.#hosts = await hostsOfJob();
    const { logs, nodes } = this.options;
    if (this.#hosts.length < nodes) {
      throw new CoordError(
        "PREFLIGHT_REFUSED",
        `The Slurm job has ${this.#hosts.length} nodes (${this.#hosts.join(", ")}), the run wants ${nodes}.`,
      );
    }
    await mkdir(logs, { recursive: true });
    await this.#keeper.start();
  }

  stop(): Promise<void> {
    return this.#keeper.stop();
  }

  async #startAgent(nodeRank: number): Promise<AgentStart> {
    const { config, isHere, logs } = this.options;
    const host = this.#hosts[nodeRank]!;
    // The batch script starts a crashed coordinator again, not an agent.
    const { args, env, program } = agentProgram({ ...this.options, supervise: false }, nodeRank);
    const path = join(logs, `agent_${nodeRank}.log`);
    const log = await open(path, "a", 0o600);
    const child = spawn("srun", [...stepArguments(host, nodeRank), process.execPath, program, ...args], {
      env: { ...process.env, ...givenVariables(config, process.env), ...env },
      stdio: ["ignore", log.fd, log.fd],
      // Survives a crash of the coordinator, as the agent does.
      detached: true,
    });
    await log.close();
    let started = false;
    const look = setInterval(() => {
      started ||= isHere(nodeRank);
    }, lookMs);
    const ended = Promise.race([
      once(child, "exit").then(([code]: (number | null)[]) => code ?? -1),
      once(child, "error").then(() => -1),
    ]).then(async (exitCode) => {
      clearInterval(look);
      const last = (await readFile(path, "utf8").catch(() => "")).trimEnd().split("\n").at(-1) ?? "";
      const words = started ? "" : `: ${last.slice(0, 300)}`;
      const how = `ended with exit code ${exitCode} (${host})${words}.`;
      return { started, lost: false, how: started ? how : `its step ${how}` };
    });
    return { ended, end: () => void child.kill("SIGTERM"), kill: () => void child.kill("SIGKILL") };
  }
}

/** A step of one task that may use everything the job has on the node, beside the coordinator. */
function stepArguments(host: string, nodeRank: number): string[] {
  const words = { nodes: 1, ntasks: 1, nodelist: host, "job-name": `agent_${nodeRank}`, mem: 0, "cpu-bind": "none" };
  return [...Object.entries(words).map(([name, value]) => `--${name}=${value}`), "--overlap", "--unbuffered"];
}

/** The nodes of this job, first the one that its script runs on. Throws PREFLIGHT_REFUSED outside of a job. */
async function hostsOfJob(): Promise<string[]> {
  const list = process.env["SLURM_JOB_NODELIST"];
  if (!list) {
    throw new CoordError(
      "PREFLIGHT_REFUSED",
      "--launcher slurm works inside of a Slurm job: coord launch submits one, sbatch submits its script again.",
    );
  }
  const { stdout } = await execa("scontrol", ["show", "hostnames", list]);
  return stdout.split("\n").filter((line) => line !== "");
}
