import { spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";

/** A Node program that runs on its own, its output going into files. */
export interface LoggedProcess {
  readonly pid: number;
  /** Safe as long as `ended` is pending: a child that was not waited for keeps its PID. */
  kill(signal: "SIGTERM" | "SIGKILL"): void;
  readonly ended: Promise<ProcessExit>;
}

export interface ProcessExit {
  /** -1 when a signal ended the process. */
  readonly exitCode: number;
  /** Empty when there was none. */
  readonly signal: string;
}

/**
 * Starts a Node program with standard output and error appended to files. Files, not pipes (so not execa): the program
 * must be able to outlive its parent, and one that writes to a broken pipe dies of that.
 */
export async function spawnLogged(options: {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdout: string;
  readonly stderr: string;
  /** True for a session of its own, out of reach of the terminal's signals. */
  readonly detached?: boolean;
}): Promise<LoggedProcess> {
  const stdout = await open(options.stdout, "a", 0o600);
  const stderr = options.stderr === options.stdout ? stdout : await open(options.stderr, "a", 0o600);
  try {
    const child = spawn(process.execPath, [options.program, ...options.args], {
      env: { ...process.env, ...options.env },
      stdio: ["ignore", stdout.fd, stderr.fd],
      detached: options.detached ?? false,
    });
    const ended = once(child, "exit").then(([code, signal]: (number | string | null)[]) => ({
      exitCode: typeof code === "number" ? code : -1,
      signal: typeof signal === "string" ? signal : "",
    }));
    ended.catch(() => {});
    await once(child, "spawn");
    if (options.detached) child.unref();
    return { pid: child.pid!, kill: (signal) => void child.kill(signal), ended };
  } finally {
    await stdout.close();
    if (stderr !== stdout) await stderr.close();
  }
}
