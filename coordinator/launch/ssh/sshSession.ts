import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { HostEntry } from "../../../shared/config/hosts.ts";
import { coordHome } from "../../../shared/runPaths.ts";
import { type SshSettings, sshArguments } from "./sshCommand.ts";

/** One command on a host. */
export interface SshSession {
  /** Sends a line to the command. */
  send(line: string): void;
  /** No more input will come. */
  endInput(): void;
  /** Ends the ssh client; what it had started on the host sees its input end. */
  kill(): void;
  readonly ended: Promise<SshEnd>;
}

export interface SshEnd {
  /** That of the command; 255 when ssh itself failed or the connection broke, -1 when ssh was killed. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Characters of output that are kept. */
const keptCharacters = 64 * 1024;
/** Longest path of a Unix socket, less what ssh appends to it while it connects. */
const longestSocketPath = 107 - 17;

/** Starts a command on a host with the system's ssh. `onLine` gets the lines of its standard output. */
export function openSession(
  host: HostEntry,
  words: readonly string[],
  settings: SshSettings,
  onLine: (line: string) => void = () => {},
): SshSession {
  const child = spawn("ssh", sshArguments(host, settings, words, controlPath()), {
    env: withoutOwnVariables(process.env),
    stdio: ["pipe", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8");
    child[name].on("data", (text: string) => {
      output[name] = (output[name] + text).slice(-keptCharacters);
    });
  }
  createInterface({ input: child.stdout }).on("line", onLine);
  // Whoever writes after the end learns of it by the exit code.
  child.stdin.on("error", () => {});
  const drained = new Promise<void>((resolve) => child.stdout.once("close", () => resolve()));
  const exited = new Promise<number>((resolve) => {
    child.once("error", (error) => {
      output.stderr += error.message;
      resolve(255);
    });
    child.once("exit", (code) => resolve(code ?? -1));
  });
  return {
    send: (line) => void child.stdin.write(`${line}\n`),
    endInput: () => void child.stdin.end(),
    kill: () => void child.kill("SIGKILL"),
    // Not the end of standard error: the shared connection, which outlives the command, has it open.
    ended: exited.then(async (exitCode) => {
      if (exitCode !== 255) await drained;
      child.stderr.destroy();
      return { exitCode, ...output };
    }),
  };
}

/** Runs a command on a host to its end, `input` as its standard input. */
export async function runOnHost(
  host: HostEntry,
  words: readonly string[],
  settings: SshSettings,
  options: { readonly input?: string; readonly signal: AbortSignal },
): Promise<SshEnd> {
  const session = openSession(host, words, settings);
  const kill = () => session.kill();
  options.signal.addEventListener("abort", kill, { once: true });
  if (options.signal.aborted) kill();
  if (options.input !== undefined) session.send(options.input);
  session.endInput();
  try {
    return await session.ended;
  } finally {
    options.signal.removeEventListener("abort", kill);
  }
}

/** Where connections are shared; undefined where the path would be too long for a socket. */
function controlPath(): string | undefined {
  const directory = join(coordHome(), "ssh");
  // %C is a SHA-1 in hexadecimal.
  if (Buffer.byteLength(directory) + 41 > longestSocketPath) return undefined;
  mkdirSync(directory, { mode: 0o700, recursive: true });
  return join(directory, "%C");
}

/** The shared connection outlives the run's processes and must not be taken for one of them. */
function withoutOwnVariables(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("COORD_")));
}
