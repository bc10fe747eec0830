import type { Status, Worker } from "./api.ts";
import { el, section, setText } from "./dom.ts";
import { formatCount, formatMs } from "./format.ts";

/** One letter beside the colour, for those who cannot tell colours apart. */
const letters: Readonly<Record<string, string>> = {
  starting: "…",
  loading: "L",
  waiting: "W",
  computing: "C",
  reducing: "R",
  evaluating: "E",
  saving: "S",
  lost: "✕",
  left: "–",
};

/** Nodes × GPUs: what each worker does, who is slow, who was restarted. `onLogs` is asked for a rank's log. */
export function createWorkerMap(onLogs: (rank: number) => void) {
  const grid = el("div", { class: "map", role: "grid", "aria-label": "Workers by node and GPU", onkeydown: move });
  const detail = el("div", { class: "detail", "aria-live": "polite" });
  const summary = el("p", { class: "muted" });
  const legend = el(
    "p",
    { class: "legend" },
    ...["computing", "reducing", "waiting", "loading", "evaluating", "saving", "starting", "lost"].map((state) =>
      el("span", { class: "state-key" }, el("i", { class: `dot state-${state}` }, letters[state]), state),
    ),
    el("span", { class: "state-key" }, el("i", { class: "dot straggler" }, "▲"), "straggler"),
  );
  const cells: HTMLButtonElement[] = [];
  let workers: readonly Worker[] = [];
  let chosen = -1;
  let shape = "";

  function build(): void {
    const nodes = [...new Set(workers.map(({ node }) => node))];
    cells.length = 0;
    const rows = nodes.map((node) => {
      const own = workers.filter((worker) => worker.node === node);
      const label = el("span", { class: "node", role: "rowheader" }, `node ${node}`);
      const buttons = own.map((worker) => {
        const index = workers.indexOf(worker);
        const cell = el("button", {
          type: "button",
          class: "cell",
          tabindex: index === 0 ? 0 : -1,
          onclick: () => choose(index),
        });
        cells[index] = cell;
        return el("span", { role: "gridcell" }, cell);
      });
      return el(
        "div",
        { class: "node-row", role: "row" },
        label,
        el("span", { class: "cells", role: "presentation" }, ...buttons),
      );
    });
    grid.replaceChildren(...rows);
    grid.classList.toggle("dense", workers.length > 64);
  }

  function choose(index: number): void {
    chosen = index;
    for (const [at, cell] of cells.entries()) cell.setAttribute("aria-pressed", String(at === index));
    show();
  }

  function show(): void {
    const worker = workers[chosen];
    if (worker === undefined) {
      detail.replaceChildren(el("p", { class: "muted" }, "Choose a worker to see more."));
      return;
    }
    const { host, localRank, node, pid, rank, residentBytes, restarts, silentMs, state, step, straggling, times } =
      worker;
    const facts: [string, string][] = [
      ["Place", `node ${node}, GPU ${localRank}${host === "" ? "" : ` on ${host}`}`],
      ["State", state],
      ["Step", String(step)],
      ["Process", pid === null ? "not running" : `pid ${pid}, heard ${formatMs(silentMs)} ago`],
      ["Memory", residentBytes === 0 ? "–" : `${formatCount(residentBytes)}B resident`],
      ["Restarts", String(restarts)],
    ];
    if (times !== null) {
      const { computeMs, dataMs, reduceMs, updateMs, waitMs } = times;
      const parts = `data ${formatMs(dataMs)}, compute ${formatMs(computeMs)}, wait ${formatMs(waitMs)}, reduce ${formatMs(reduceMs)}, update ${formatMs(updateMs)}`;
      facts.push(["Step time", `${formatMs(busy(worker) ?? 0)}: ${parts}`]);
    }
    const logs =
      rank === null ? undefined : el("button", { type: "button", onclick: () => onLogs(rank) }, `Log of rank ${rank}`);
    detail.replaceChildren(
      el("h3", {}, rank === null ? `Worker ${node}/${localRank}` : `Rank ${rank}`),
      ...(straggling === null ? [] : [el("p", { class: "warn" }, `▲ Keeps the others waiting: ${straggling}.`)]),
      el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      ...(logs === undefined ? [] : [logs]),
    );
  }

  /** Arrow keys go from worker to worker: one tab stop for all of them. */
  function move(event: Event): void {
    const { key } = event as KeyboardEvent;
    const at = cells.indexOf(document.activeElement as HTMLButtonElement);
    if (at < 0) return;
    const perNode = workers.filter(({ node }) => node === workers[0]?.node).length;
    const to = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at - perNode,
      ArrowDown: at + perNode,
      Home: 0,
      End: cells.length - 1,
    }[key];
    const next = to === undefined ? undefined : cells[to];
    if (next === undefined) return;
    event.preventDefault();
    cells[at]!.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  return {
    element: section("Workers", "workers", summary, legend, el("div", { class: "map-and-detail" }, grid, detail)),
    update(status: Status): void {
      workers = status.workers;
      const now = workers.map(({ localRank, node }) => `${node}/${localRank}`).join();
      if (now !== shape) build();
      shape = now;
      for (const [index, worker] of workers.entries()) paint(cells[index]!, worker);
      const alive = workers.filter(({ state }) => !["starting", "lost", "left"].includes(state)).length;
      const slow = workers.filter(({ straggling }) => straggling !== null).length;
      const restarted = workers.reduce((total, { restarts }) => total + restarts, 0);
      setText(
        summary,
        workers.length === 0
          ? "No workers: the run is not going on."
          : `${alive} of ${status.worldSize} at work, generation ${status.generation}, ${restarted} restarts, ${slow === 0 ? "no stragglers" : `${slow} slow`}.`,
      );
      show();
    },
  };
}

function paint(cell: HTMLButtonElement, worker: Worker): void {
  const { localRank, node, rank, restarts, state, straggling } = worker;
  const name = `cell state-${state}${straggling === null ? "" : " straggler"}`;
  if (cell.className !== name) cell.className = name;
  setText(cell, `${straggling === null ? "" : "▲"}${letters[state] ?? "?"}`);
  const took = busy(worker);
  const said = [
    rank === null ? `worker ${node}/${localRank}` : `rank ${rank}, node ${node}, GPU ${localRank}`,
    state,
    ...(took === undefined ? [] : [`step ${formatMs(took)}`]),
    ...(restarts > 0 ? [`restarted ${restarts}×`] : []),
    ...(straggling === null ? [] : [`straggler: ${straggling}`]),
  ].join(", ");
  if (cell.title !== said) {
    cell.title = said;
    cell.setAttribute("aria-label", said);
  }
}

/** A step of the worker, without the wait for others. */
function busy({ times }: Worker): number | undefined {
  return times === null ? undefined : times.dataMs + times.computeMs + times.reduceMs + times.updateMs;
}
