import type { HostAnswer, HostProblem } from "../launch/ssh/judgeHosts.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";

/** Free ports among those that were tried of a range. */
export function judgePorts(range: string, tried: number, free: number): Finding {
  const value = `${free} of ${tried} ports tried of ${range} are free`;
  const remedy = "coord kill-stale ends what dead runs left listening; or give another --port-range.";
  if (free === 0) return problem("port range", value, remedy);
  return free < Math.min(4, tried) ? warning("port range", value, remedy) : ok("port range", value);
}

/** How the hub, or the mirror that HF_ENDPOINT names, has answered. */
export function judgeHub(
  endpoint: string,
  result: "offline" | { readonly status: number; readonly tookMs: number } | { readonly reason: string },
): Finding {
  if (result === "offline") return ok("hub", "HF_HUB_OFFLINE is set: nothing is downloaded");
  const remedy =
    "Needed only for --model and --data from the hub: check HF_ENDPOINT (a mirror), HTTPS_PROXY and the network, or copy the files here.";
  if ("reason" in result) return warning("hub", `${endpoint} cannot be reached: ${result.reason}`, remedy);
  if (result.status >= 500) return warning("hub", `${endpoint} answers ${result.status}`, remedy);
  return ok("hub", `${endpoint} answers in ${Math.round(result.tookMs)} ms`);
}

/** One host of --hosts: what it is, how its clock stands, and each thing that is wrong with it. */
export function judgeHostAnswer(
  name: string,
  answer: HostAnswer | undefined,
  problems: readonly HostProblem[],
): Finding[] {
  const label = `host ${name}`;
  const findings = problems.map(({ fatal, problem: text }) =>
    fatal
      ? problem(label, text, "coord launch --hosts would refuse this host; see deploy/ssh/README.md.")
      : warning(label, text, "A run can do with it."),
  );
  return answer === undefined ? findings : [ok(label, describeHost(answer)), ...findings];
}

function describeHost({ answeredMs, askedMs, facts }: HostAnswer): string {
  const offsetMs = facts.clockMs - (askedMs + answeredMs) / 2;
  // Half of the time between question and answer is not known to belong to either way.
  const uncertainMs = (answeredMs - askedMs) / 2;
  const sign = offsetMs < 0 ? "−" : "+";
  return [
    `coord ${facts.version}`,
    `Node ${facts.node}`,
    `${facts.processors} processors`,
    ...(facts.gpus === undefined ? [] : [`${facts.gpus} GPUs`]),
    `clock ${sign}${seconds(Math.abs(offsetMs))} s (± ${seconds(uncertainMs)} s)`,
  ].join(", ");
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 0);
}
