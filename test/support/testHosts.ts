import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../shared/process/packageRoot.ts";

const script = join(packageRoot(), "test", "support", "hosts.sh");

/** Why hosts cannot be made here; undefined where they can. */
export function whyNoHosts(): string | undefined {
  const { status, stdout } = spawnSync("bash", [script, "check"], { encoding: "utf8" });
  return status === 0 ? undefined : stdout.trim();
}

/** Hosts in network namespaces of their own, made and removed by hosts.sh. */
export class TestHosts {
  readonly addresses: readonly string[];

  private constructor(private readonly directory: string) {
    this.addresses = readFileSync(join(directory, "addresses"), "utf8").trim().split("\n");
  }

  static up(directory: string, count: number): TestHosts {
    try {
      run("up", directory, String(count));
    } catch (thrown) {
      run("down", directory);
      throw thrown;
    }
    return new TestHosts(directory);
  }

  /** Flags for `coord launch`; `gpus` by host. */
  flags(...gpus: readonly number[]): string[] {
    const hosts = gpus.map((count, index) => `${this.addresses[index]}:${count}`);
    return ["--hosts", hosts.join(","), ...this.sshFlags];
  }

  /** Network interface of this host at which all of them reach it. */
  get interface(): string {
    return `${readFileSync(join(this.directory, "tag"), "utf8").trim()}br`;
  }

  get sshFlags(): string[] {
    return ["--ssh-arg=-F", `--ssh-arg=${join(this.directory, "ssh_config")}`];
  }

  /** COORD_HOME of host `number`, from 1. */
  home(number: number): string {
    return join(this.directory, String(number), "home");
  }

  boot(number: number): void {
    run("boot", this.directory, String(number));
  }

  crash(number: number): void {
    run("crash", this.directory, String(number));
  }

  cable(number: number, state: "up" | "down"): void {
    run("cable", this.directory, String(number), state);
  }

  rate(number: number, rate: string): void {
    run("rate", this.directory, String(number), rate);
  }

  /** Drops a part of the packets that reach a host, or that leave it, in place of what was dropped before. */
  loss(number: number, percent: number, way: "input" | "output" = "input"): void {
    run("loss", this.directory, String(number), String(percent), way);
  }

  down(): void {
    run("down", this.directory);
  }
}

function run(...args: readonly string[]): void {
  execFileSync("bash", [script, ...args], { stdio: ["ignore", "ignore", "pipe"] });
}
