import { formatSummary } from "../statistics.ts";
import { type LaunchResults, launchedRanks } from "./launchBench.ts";

const seconds = 1 / 1000;

/** The launch latencies as the lines of a page. */
export function renderLaunch({ launchers, torchrun }: LaunchResults): string[] {
  const rows = launchers.map(({ agentMs, coordinatorMs, joinedMs, name, orderedMs, ratio }) => [
    `coord, ${name}`,
    ...[coordinatorMs, orderedMs, agentMs, joinedMs].map((summary) => formatSummary(summary, seconds)),
    ratio ? formatSummary(ratio) : "–",
  ]);
  const theirs =
    "skipped" in torchrun ? [] : [["torchrun", "–", "–", "–", formatSummary(torchrun.joinedMs, seconds), "1"]];
  const head = ["", "coordinator begins, s", "agents ordered, s", "first agent, s", "all joined, s", "÷ torchrun"];
  return [
    `From the start of the command until its ${launchedRanks} ranks are one group, all on this host. coord: 2 nodes × 8 workers with`,
    "a model of two small layers, from `coord launch` to the first generation with all workers in it; the checks in front of",
    "a run, the tokenizing of 40 rows, and a token and (but for local) certificates are part of it. ssh goes to two network",
    "namespaces; Slurm's two nodes and Kubernetes' two pods are processes of this host, without an image to pull.",
    "skipped" in torchrun
      ? `torchrun was SKIPPED: ${torchrun.skipped}.`
      : `torchrun (torch ${torchrun.version}, gloo, --standalone): a script that only joins the process group and passes a barrier.`,
    "The ratio is of launches in the same round.",
    "",
    ...[head, head.map((_, column) => (column === 0 ? "---" : "---:")), ...theirs, ...rows].map(
      (cells) => `| ${cells.join(" | ")} |`,
    ),
    "",
  ];
}
