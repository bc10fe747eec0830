import type { HostEntry } from "../../../shared/config/hosts.ts";
import type { RunConfig } from "../../../shared/config/schema.ts";

/** What the command line of ssh depends on. */
export type SshSettings = Pick<RunConfig, "reconnectBudgetMs" | "sshArg">;

/** Seconds that a host has to accept a connection. */
const connectTimeoutSeconds = 10;
/** Signs of life that may be missing before a connection counts as broken. */
const missedSigns = 3;

/**
 * Arguments of the system's ssh for one command on a host. What the user gives comes first, since ssh takes the first
 * value of an option. Host keys are checked as the user's own ssh does; nothing is ever asked.
 */
export function sshArguments(
  host: HostEntry,
  { reconnectBudgetMs, sshArg }: SshSettings,
  words: readonly string[],
  /** Path for the socket of a connection that several commands share; absent for a connection of its own. */
  controlPath?: string,
): string[] {
  const options = {
    BatchMode: "yes",
    ConnectTimeout: connectTimeoutSeconds,
    ServerAliveInterval: Math.max(1, Math.floor(reconnectBudgetMs / 1000 / (missedSigns + 1))),
    ServerAliveCountMax: missedSigns,
    ...(controlPath === undefined ? {} : { ControlMaster: "auto", ControlPath: controlPath, ControlPersist: 15 }),
  };
  return [
    ...sshArg,
    "-T",
    ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    ...(host.port === undefined ? [] : ["-p", String(host.port)]),
    "--",
    host.destination,
    ...(words.length === 0 ? [] : [words.map(shellWord).join(" ")]),
  ];
}

/** A word as every POSIX shell reads it: ssh hands one string to the login shell of the host. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
