import { formatHost, type HostEntry } from "../../../shared/config/hosts.ts";

/** Says how a command on a host ended, and what to do about it, in a sentence. */
export function describeSshEnd(
  host: HostEntry,
  end: { readonly exitCode: number; readonly stderr: string },
  started: boolean,
): string {
  const name = formatHost({ destination: host.destination, host: host.host });
  const last = lastLine(end.stderr);
  const words = last === "" ? "" : `: ${last}`;
  if (started) {
    return end.exitCode === 255 || end.exitCode === -1
      ? `lost its ssh connection (${name})${words}.`
      : `ended with exit code ${end.exitCode} (${name})${words}.`;
  }
  if (end.exitCode === 255) return `ssh ${name} failed${words || " without a word"}.${advice(end.stderr)}`;
  if (end.exitCode === 127 || /MODULE_NOT_FOUND|Cannot find module|No such file/.test(end.stderr)) {
    return `coord is not installed on ${name} where it is expected; name its place with --remote-command.`;
  }
  return `coord ended with exit code ${end.exitCode} on ${name}${words}.`;
}

function advice(stderr: string): string {
  if (/Host key verification failed|REMOTE HOST IDENTIFICATION/.test(stderr)) {
    return " Connect once by hand to check its key, or put it into known_hosts (ssh-keyscan).";
  }
  if (/Permission denied/.test(stderr)) return " Put your public key there (ssh-copy-id) or load it (ssh-add).";
  return "";
}

/** The last line that says something; ssh begins some with its own name. */
function lastLine(text: string): string {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  return (lines.filter((line) => line !== "").at(-1) ?? "").replace(/\.$/, "").slice(0, 300);
}
