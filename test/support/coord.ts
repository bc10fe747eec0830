import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { packageRoot } from "../../shared/process/packageRoot.ts";

const command = join(packageRoot(), "dist", "coordinator", "cli", "main.js");

/** How a command ended. */
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A line of a run's events.jsonl. */
export interface RunEvent {
  readonly timeMs: number;
  readonly kind: string;
  readonly message: string;
}

/** A COORD_HOME and a place for outputs of its own, and the built program in it. Run `npm run build` before. */
export class CoordHome {
  private constructor(readonly root: string) {}

  static async create(): Promise<CoordHome> {
    return new CoordHome(await mkdtemp(join(tmpdir(), "coord-test-")));
  }

  get home(): string {
    return join(this.root, "home");
  }

  path(...names: string[]): string {
    return join(this.root, ...names);
  }

  /** Runs `coord …` to its end, `input` coming through its standard input. */
  async coord(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    input?: string,
  ): Promise<CommandResult> {
    const result = await execa(process.execPath, [command, ...args], {
      cwd: this.root,
      env: { COORD_HOME: this.home, ...env },
      reject: false,
      ...(input === undefined ? { stdin: "ignore" } : { input }),
    });
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  }

  /** Runs `coord … --json` and returns what it printed. */
  async json<T>(args: readonly string[]): Promise<T> {
    const { exitCode, stderr, stdout } = await this.coord([...args, "--json"]);
    if (exitCode !== 0) throw new Error(`coord ${args.join(" ")} ended with ${exitCode}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** Starts a run and returns its id. */
  async launch(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
    const { exitCode, stderr, stdout } = await this.coord(["launch", "--detach", ...args], env);
    if (exitCode !== 0) throw new Error(`coord launch ended with ${exitCode}: ${stderr}`);
    return stdout.trim();
  }

  /** Lines of a run's metrics.jsonl that are steps, or held-out losses. */
  async metrics(runId: string): Promise<Record<string, number>[]> {
    const text = await readFile(join(this.home, "runs", runId, "metrics.jsonl"), "utf8").catch(() => "");
    return text
      .split("\n")
      .filter((line) => line.endsWith("}"))
      .map((line) => JSON.parse(line) as Record<string, number>);
  }

  /** What has happened in a run. */
  async events(runId: string): Promise<RunEvent[]> {
    const text = await readFile(join(this.home, "runs", runId, "events.jsonl"), "utf8").catch(() => "");
    const lines = text.split("\n").filter((line) => line.endsWith("}"));
    return lines.map((line) => JSON.parse(line) as RunEvent);
  }

  /** What the coordinator of a run has last written about itself. */
  coordinator(runId: string): { readonly address: string; readonly process: { readonly pid: number } } {
    return JSON.parse(readFileSync(join(this.home, "runs", runId, "coordinator.json"), "utf8"));
  }

  async remove(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

/** SHA-256 of a file, hexadecimal. */
export async function sha256(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

/** Digests of what a run ends with: the adapter, and the optimizer of its last checkpoint. */
export async function finalDigests(output: string, step: number): Promise<{ adapter: string; optimizer: string }> {
  return {
    adapter: await sha256(join(output, "adapter_model.safetensors")),
    optimizer: await sha256(join(output, `checkpoint-${step}`, "optimizer.safetensors")),
  };
}

/** Looks again until `probe` gives a value; for states of other processes that send no event. */
export async function eventually<T>(what: string, probe: () => Promise<T | undefined>, timeoutMs = 60_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`Waited ${timeoutMs} ms in vain for: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
