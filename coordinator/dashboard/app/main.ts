import { api, follow, token, Unauthorized } from "./api.ts";
import { createCharts } from "./charts.ts";
import { el, section } from "./dom.ts";
import { createHead } from "./head.ts";
import { createEvents, createLogs, createSteering } from "./panels.ts";
import { createRuns } from "./runsPanel.ts";
import { Series } from "./series.ts";
import { createWorkerMap } from "./workerMap.ts";

let shown = "";
let following = new AbortController();
const series = new Series();

const head = createHead(document.getElementById("head")!, (run) => {
  location.hash = run;
});
const charts = createCharts();
const events = createEvents();
const logs = createLogs(() => shown);
const map = createWorkerMap((rank) => logs.show(rank));
const steering = createSteering(() => shown);
const runs = createRuns(() => draw());

const marks = el(
  "p",
  { class: "legend" },
  ...[
    ["checkpoint", "▲ checkpoint"],
    ["restart", "┆ workers replaced"],
    ["start", "┆ continued"],
    ["early-stop", "│ early stop"],
  ].map(([kind, label]) => el("span", { class: `mark mark-${kind}` }, label)),
  el("span", { class: "muted" }, "Drag to zoom, double-click to see all."),
);

document
  .getElementById("main")!
  .append(
    section("Curves", "curves", marks, charts.element),
    map.element,
    el("div", { class: "two" }, events.element, logs.element),
    runs.element,
    runs.config,
    steering.element,
  );

let drawing = false;
/** At most once a frame. */
function draw(): void {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    charts.draw(series, runs.compared);
  });
}

async function show(run: string): Promise<void> {
  following.abort();
  following = new AbortController();
  shown = run;
  const { config, tokenFile } = await api.summary(run);
  steering.tokenFile(tokenFile);
  runs.show(run, config);
  void logs.load();
  void follow(run, following.signal, {
    message(message) {
      head.notice("");
      head.update(message.status);
      map.update(message.status);
      events.add(message);
      logs.ranks(Math.max(message.status.worldSize, message.status.workers.length));
      if (message.whole) series.replace(message.history);
      else series.add(message.history);
      draw();
    },
    cut: (why) =>
      why instanceof Unauthorized ? askForToken() : head.notice(`Connection lost: ${why.message} Trying again …`),
  });
}

async function start(): Promise<void> {
  try {
    const { current, runs: entries } = await api.runs();
    const wanted = location.hash.slice(1);
    const run = entries.some((entry) => entry.run === wanted) ? wanted : current;
    head.runs(entries, run);
    runs.list(entries, run);
    await show(run);
    runs.list(entries, run);
  } catch (thrown) {
    if (thrown instanceof Unauthorized) return askForToken();
    head.notice(thrown instanceof Error ? thrown.message : String(thrown));
    setTimeout(() => void start(), 3000);
  }
}

/** Addresses other than loopback show nothing without the run's token. */
function askForToken(): void {
  const input = el("input", { type: "password", id: "entry-token", autocomplete: "off" });
  const dialog = el(
    "dialog",
    { "aria-labelledby": "entry-title" },
    el("h2", { id: "entry-title" }, "This dashboard needs the run's admin token"),
    el(
      "form",
      {
        method: "dialog",
        onsubmit: () => {
          token.set(input.value);
          dialog.remove();
          void start();
        },
      },
      el("label", { for: "entry-token" }, "Token "),
      input,
      el("button", {}, "Show"),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}

window.addEventListener("hashchange", () => void start());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.restyle());
void start();
