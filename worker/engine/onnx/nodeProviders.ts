/** One event of onnxruntime's profile, as far as it is read here. */
interface ProfileEvent {
  readonly cat?: string;
  readonly args?: { readonly provider?: string; readonly op_name?: string; readonly node_index?: string };
}

/**
 * From a profile of onnxruntime, which nodes ran on the CPU although another provider was asked for: one sentence, undefined where
 * all did what was asked.
 */
export function describeFallback(profile: string, provider: string): string | undefined {
  const events = JSON.parse(profile) as readonly ProfileEvent[];
  const nodes = new Map<string, { readonly operator: string; readonly onCpu: boolean }>();
  for (const { args, cat } of events) {
    if (cat !== "Node" || args?.provider === undefined || args.op_name === undefined) continue;
    nodes.set(args.node_index ?? String(nodes.size), {
      operator: args.op_name,
      onCpu: args.provider === "CPUExecutionProvider",
    });
  }
  const counts = new Map<string, number>();
  for (const { onCpu, operator } of nodes.values()) {
    if (onCpu) counts.set(operator, (counts.get(operator) ?? 0) + 1);
  }
  if (counts.size === 0) return undefined;
  const list = [...counts].sort(([, a], [, b]) => b - a).map(([operator, count]) => `${count} ${operator}`);
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return `${total} of ${nodes.size} nodes run on the CPU, not on ${provider}: ${list.join(", ")}`;
}
