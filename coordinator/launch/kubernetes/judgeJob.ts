/** Tells from kubectl's answer where the Job of a run's agents stands. */
export function judgeJob(answer: {
  readonly exitCode: number;
  readonly stdout: string;
}): "going on" | "ended" | "missing" | "unknown" {
  if (answer.exitCode !== 0) return "unknown";
  // --ignore-not-found prints nothing.
  if (answer.stdout.trim() === "") return "missing";
  const job = JSON.parse(answer.stdout) as {
    readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  };
  const ended = job.status?.conditions?.some(
    ({ status, type }) => status === "True" && (type === "Complete" || type === "Failed"),
  );
  return ended ? "ended" : "going on";
}
