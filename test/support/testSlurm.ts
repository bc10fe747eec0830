import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../shared/process/packageRoot.ts";

const script = join(packageRoot(), "test", "support", "slurm.sh");

/** Why Slurm cannot be started here; undefined where it can. */
export function whyNoSlurm(): string | undefined {
  const { status, stdout } = spawnSync("bash", [script, "check"], { encoding: "utf8" });
  return status === 0 ? undefined : stdout.trim();
}

/** A Slurm cluster of two nodes on this host, started and ended by slurm.sh. */
export class TestSlurm {
  private constructor(private readonly directory: string) {}

  static up(directory: string): TestSlurm {
    try {
      run("up", directory);
    } catch (thrown) {
      run("down", directory);
      throw thrown;
    }
    return new TestSlurm(directory);
  }

  /** What Slurm's commands need. */
  get env(): { SLURM_CONF: string } {
    return { SLURM_CONF: join(this.directory, "slurm.conf") };
  }

  /** Runs one of Slurm's commands and returns what it printed. */
  command(name: string, ...args: readonly string[]): string {
    return execFileSync(name, args, { env: { ...process.env, ...this.env }, encoding: "utf8" }).trim();
  }

  /** State of a job, Slurm's word; empty when it is over and forgotten. */
  state(job: string): string {
    return this.command("squeue", "--noheader", "--states=all", `--jobs=${job}`, "--format=%T");
  }

  /** Nodes that no job has. */
  idleNodes(): number {
    return Number(this.command("sinfo", "--noheader", "--states=idle", "--format=%D"));
  }

  startNode(number: number): void {
    run("node", this.directory, String(number));
  }

  crashNode(number: number): void {
    run("crash", this.directory, String(number));
  }

  down(): void {
    run("down", this.directory);
  }
}

function run(...args: readonly string[]): void {
  // Daemons keep what they inherit open.
  execFileSync("bash", [script, ...args], { stdio: "ignore" });
}
