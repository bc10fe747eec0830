import type { RunEvent } from "../eventLog.ts";
import { formatDateTime, formatDuration } from "../format.ts";
import { parseLogLine } from "../logLine.ts";
import { renderSvg } from "./chart/renderSvg.ts";
import { lossPicture } from "./lossCurve.ts";
import { runHistory } from "./runHistory.ts";
import { allResults } from "./trainResults.ts";

/** What a report is made from. */
export interface ReportSource {
  readonly runId: string;
  readonly createdAtMs: number;
  /** "finished", "failed", "live", … and a sentence that says why. */
  readonly state: string;
  readonly reason: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly events: readonly RunEvent[];
}

/** Steps would fill the page; they are in the curve. */
const leftOut: ReadonlySet<string> = new Set(["step"]);

/** A run as one HTML file that needs nothing else: results, curve, root cause of a failure, events, settings. */
export function renderReport(source: ReportSource): string {
  const { config, createdAtMs, events, reason, runId, state } = source;
  const history = runHistory(events);
  const title = `Run ${runId}: ${state}`;
  const results = Object.entries(allResults(history)).map(([name, value]) => [name, String(value)] as const);
  return [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">`,
    `<title>${escaped(title)}</title><style>${style}</style></head><body>`,
    `<h1>${escaped(title)}</h1><p>${escaped(reason)}</p>`,
    `<p>Started ${formatDateTime(createdAtMs)}, trained for ${formatDuration(history.runtimeMs / 1000)}.</p>`,
    rootCause(events),
    ...(history.training.length === 0
      ? ["<p>No step was taken.</p>"]
      : [renderSvg(lossPicture(history, `Loss of run ${runId}`))]),
    `<h2>Results</h2>${table(results)}`,
    `<h2>Events</h2>${table(events.filter(isShown).map(({ kind, message, timeMs }) => [`${formatDateTime(timeMs)} ${kind}`, message]))}`,
    `<h2>Settings</h2>${table(Object.entries(config).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : String(value)]))}`,
    "</body></html>",
    "",
  ].join("\n");
}

/** The first error of the run's last life: what followed are its consequences. */
function rootCause(events: readonly RunEvent[]): string {
  const ends = events.findLastIndex(({ kind, data }) => kind === "state" && data["state"] === "preparing");
  const error = events.slice(Math.max(0, ends)).find(({ kind }) => kind === "error");
  if (error === undefined) return "";
  const text = (name: string) => (typeof error.data[name] === "string" ? (error.data[name] as string) : "");
  const rows = [
    ["time", formatDateTime(error.timeMs)],
    ["code", text("code")],
    ["worker", text("worker")],
    ["log", text("log")],
  ].filter(([, value]) => value !== "") as [string, string][];
  const lines = text("lastLines").trimEnd();
  const shown = lines.split("\n").map((line) => parseLogLine("", line, 0).text);
  return [
    `<section class="bad"><h2>Root cause (first observed failure)</h2><p>${escaped(error.message)}</p>`,
    table(rows),
    lines === "" ? "" : `<pre>${escaped(shown.join("\n"))}</pre>`,
    "</section>",
  ].join("");
}

function isShown({ data, kind }: RunEvent): boolean {
  return !leftOut.has(kind) && !(kind === "data" && data["done"] !== undefined);
}

function table(rows: readonly (readonly [string, string] | readonly string[])[]): string {
  const cells = rows.map(([name, value]) => `<tr><th>${escaped(name ?? "")}</th><td>${escaped(value ?? "")}</td></tr>`);
  return `<table>${cells.join("\n")}</table>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

const style = [
  ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}",
  "table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;",
  "border-bottom:1px solid #8884;overflow-wrap:anywhere}th{font-weight:400;white-space:nowrap;opacity:.75}",
  "svg{max-width:100%;height:auto}pre{overflow:auto;background:#8882;padding:.6rem}.bad{border-left:4px solid #c33;padding-left:1rem}",
].join("");
