import { api, type RunEntry, type RunSummary } from "./api.ts";
import type { Compared } from "./charts.ts";
import { el, section } from "./dom.ts";
import { formatDateTime } from "./format.ts";
import { Series } from "./series.ts";

/** Runs that may be drawn beside the one that is shown: more cannot be told apart. */
const mostCompared = 4;
const colors = ["compare-1", "compare-2", "compare-3", "compare-4"] as const;

interface Other extends Compared {
  readonly config: RunSummary["config"];
}

/** Other runs to lay over the curves, and the settings of all of them side by side. */
export function createRuns(onCompare: () => void) {
  const body = el("tbody", {});
  const table = el(
    "table",
    {},
    el(
      "thead",
      {},
      el("tr", {}, ...["Compare", "Run", "State", "Started", "Output"].map((name) => el("th", { scope: "col" }, name))),
    ),
    body,
  );
  const onlyDifferent = el("input", { type: "checkbox", id: "different", onchange: () => drawConfig() });
  const search = el("input", {
    type: "search",
    placeholder: "Filter settings",
    "aria-label": "Filter settings",
    oninput: () => drawConfig(),
  });
  const configHead = el("tr", {});
  const configBody = el("tbody", {});
  let current: { run: string; config: RunSummary["config"] } | undefined;
  let others: Other[] = [];

  async function toggle(run: string, wanted: boolean, box: HTMLInputElement): Promise<void> {
    if (!wanted) others = others.filter((other) => other.run !== run);
    else if (others.length === mostCompared) box.checked = false;
    else {
      const free = colors.find((color) => others.every((other) => other.color !== color))!;
      const [history, { config }] = await Promise.all([api.history(run), api.summary(run)]);
      const series = new Series();
      series.replace(history);
      if (box.checked) others = [...others, { run, series, color: free, config }];
    }
    drawConfig();
    onCompare();
  }

  function drawConfig(): void {
    const configs = [...(current ? [current] : []), ...others];
    configHead.replaceChildren(
      ...["Setting", ...configs.map(({ run }) => run)].map((name) => el("th", { scope: "col" }, name)),
    );
    const names = [...new Set(configs.flatMap(({ config }) => Object.keys(config)))].sort();
    const wanted = search.value.toLowerCase();
    const rows = names.flatMap((name) => {
      const values = configs.map(({ config }) => text(config[name]));
      const differ = new Set(values).size > 1;
      if ((onlyDifferent.checked && !differ) || !name.toLowerCase().includes(wanted)) return [];
      return [
        el(
          "tr",
          { class: differ ? "differs" : "" },
          el("th", { scope: "row" }, name),
          ...values.map((value) => el("td", {}, value)),
        ),
      ];
    });
    configBody.replaceChildren(...rows);
  }

  return {
    element: section(
      "Compare runs",
      "runs",
      el("p", { class: "muted" }, `Up to ${mostCompared} runs are drawn beside this one.`),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Runs" }, table),
    ),
    config: section(
      "Configuration",
      "config",
      el("div", { class: "bar" }, search, el("label", { for: "different" }, onlyDifferent, " only what differs")),
      el(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "Settings" },
        el("table", {}, el("thead", {}, configHead), configBody),
      ),
    ),
    get compared(): readonly Compared[] {
      return others;
    },
    show(run: string, config: RunSummary["config"]): void {
      if (current?.run !== run) others = [];
      current = { run, config };
      drawConfig();
    },
    list(entries: readonly RunEntry[], shown: string): void {
      const chosen = new Set(others.map(({ run }) => run));
      body.replaceChildren(
        ...entries
          .filter(({ run }) => run !== shown)
          .map(({ createdAtMs, output, run, state }) => {
            const box = el("input", {
              type: "checkbox",
              checked: chosen.has(run),
              "aria-label": `Compare with ${run}`,
              onchange: () => void toggle(run, box.checked, box),
            });
            const cells = [run, state, formatDateTime(createdAtMs), output].map((value) => el("td", {}, value));
            return el("tr", {}, el("td", {}, box), ...cells);
          }),
      );
      if (body.childElementCount === 0)
        body.append(el("tr", {}, el("td", { colspan: 5, class: "muted" }, "This is the only run.")));
    },
  };
}

function text(value: unknown): string {
  if (value === undefined) return "–";
  return Array.isArray(value) ? value.join(", ") || "(none)" : String(value);
}
