/** What the host can show about the end of a process. */
export interface KillEvidence {
  readonly pid: number;
  /** Times that the memory limit of this node's control group has had a process killed; undefined where it cannot be read. */
  readonly limitKillsBefore: number | undefined;
  readonly limitKillsAfter: number | undefined;
  /** Lines of the kernel's log; undefined where it cannot be read. */
  readonly kernelLog: readonly string[] | undefined;
}

/** Says who killed a process that ended by SIGKILL (or with 137), as far as the host shows. */
export function explainKill({ kernelLog, limitKillsAfter, limitKillsBefore, pid }: KillEvidence): string {
  const killed = new RegExp(`Killed process ${pid}\\b`);
  const line = kernelLog?.find((text) => killed.test(text));
  const byLimit = line?.includes("Memory cgroup") ?? (limitKillsAfter ?? 0) > (limitKillsBefore ?? 0);
  if (byLimit) {
    return "Its control group's memory limit (a container's or a job's) had it killed: raise the limit, or lower --per-device-train-batch-size or --max-length.";
  }
  if (line !== undefined) {
    return "The kernel killed it because the host ran out of memory: use fewer workers per node, or lower --per-device-train-batch-size or --max-length.";
  }
  if (kernelLog !== undefined || limitKillsAfter !== undefined) {
    return "Neither the kernel's log nor its memory limit shows a want of memory: somebody, or a scheduler, killed it.";
  }
  return 'This host does not show why: the kernel\'s log and the memory limit cannot be read. Look for "Out of memory" in dmesg as root.';
}
