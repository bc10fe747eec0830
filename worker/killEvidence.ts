import { readFileSync } from "node:fs";
import { execa } from "execa";
import type { KillEvidence } from "./explainKill.ts";

const kernelLogTimeoutMs = 2000;

/** Times that the memory limit of this process's control group has had a process killed (cgroup v2, else v1). */
export function limitKills(): number | undefined {
  const groups = read("/proc/self/cgroup")?.split("\n") ?? [];
  const unified = groups.find((line) => line.startsWith("0::"))?.slice(3);
  const memory = groups.find((line) => /^\d+:([^:]*,)?memory(,[^:]*)?:/.test(line))?.replace(/^[^:]*:[^:]*:/, "");
  const text =
    (unified === undefined ? undefined : read(`/sys/fs/cgroup${unified}/memory.events`)) ??
    (memory === undefined ? undefined : read(`/sys/fs/cgroup/memory${memory}/memory.oom_control`));
  const count = /^oom_kill (\d+)$/m.exec(text ?? "")?.[1];
  return count === undefined ? undefined : Number(count);
}

/** What this host shows about the end of process `pid`. */
export async function killEvidence(pid: number, limitKillsBefore: number | undefined): Promise<KillEvidence> {
  const { exitCode, stdout } = await execa("dmesg", { reject: false, timeout: kernelLogTimeoutMs, stdin: "ignore" });
  const kernelLog = exitCode === 0 ? stdout.split("\n") : undefined;
  return { pid, limitKillsBefore, limitKillsAfter: limitKills(), kernelLog };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
