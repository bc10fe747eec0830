import { api, type FeedMessage, type LogLine, type ShownEvent, token } from "./api.ts";
import { el, section } from "./dom.ts";
import { formatDateTime, formatTime } from "./format.ts";

const keptEvents = 300;

/** What has happened, newest first. */
export function createEvents() {
  const list = el("ol", { class: "events", tabindex: 0, "aria-label": "Events, newest first" });
  let newest = 0;
  const item = ({ kind, message, timeMs }: ShownEvent) =>
    el(
      "li",
      { class: `event event-${kind}` },
      el("time", { datetime: new Date(timeMs).toISOString(), title: formatDateTime(timeMs) }, formatTime(timeMs)),
      el("b", {}, kind),
      el("span", {}, message),
    );
  return {
    element: section("Events", "events", list),
    add({ events, whole }: FeedMessage): void {
      if (whole) {
        list.replaceChildren();
        newest = 0;
      }
      const fresh = events.filter(({ sequence }) => sequence > newest);
      newest = fresh.at(-1)?.sequence ?? newest;
      list.prepend(...fresh.map(item).reverse());
      while (list.childElementCount > keptEvents) list.lastElementChild!.remove();
    },
  };
}

const followMs = 2000;

/** The last lines that the processes of a run wrote. */
export function createLogs(run: () => string) {
  const select = el("select", { "aria-label": "Whose log", onchange: () => void load() });
  const follow = el("input", { type: "checkbox", id: "follow", onchange: () => schedule() });
  const filter = el("input", {
    type: "search",
    placeholder: "Filter",
    "aria-label": "Filter lines",
    oninput: () => draw(),
  });
  const lines = el("pre", { class: "log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log lines" });
  const bar = el(
    "div",
    { class: "bar" },
    select,
    filter,
    el("label", { for: "follow" }, follow, " follow"),
    el("button", { type: "button", onclick: () => void load() }, "Reload"),
  );
  let loaded: readonly LogLine[] = [];
  let timer: number | undefined;
  let offered = -1;
  ranks(0);

  async function load(): Promise<void> {
    try {
      loaded = await api.logs(run(), select.value);
    } catch (thrown) {
      loaded = [{ source: "dashboard", timeMs: 0, text: thrown instanceof Error ? thrown.message : String(thrown) }];
    }
    draw();
  }

  function draw(): void {
    const wanted = filter.value.toLowerCase();
    const shown = loaded.filter(({ source, text }) => `${source} ${text}`.toLowerCase().includes(wanted));
    const atEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 30;
    lines.replaceChildren(
      ...shown.map(({ source, text }) =>
        el("span", { class: /\b(error|fatal|exception)\b/i.test(text) ? "bad" : "" }, `[${source}] ${text}\n`),
      ),
    );
    if (shown.length === 0) lines.append("Nothing here.");
    if (atEnd) lines.scrollTop = lines.scrollHeight;
  }

  /** Offers the ranks of a run. */
  function ranks(count: number): void {
    if (count === offered) return;
    offered = count;
    const before = select.value || "run";
    const each = Array.from({ length: count }, (_, rank) => el("option", { value: rank }, `rank ${rank}`));
    select.replaceChildren(
      el("option", { value: "run" }, "coordinator and agents"),
      el("option", { value: "all" }, "everything"),
      ...each,
    );
    select.value = before;
  }

  function schedule(): void {
    window.clearInterval(timer);
    timer = follow.checked ? window.setInterval(() => void load(), followMs) : undefined;
  }

  return {
    element: section("Logs", "logs", bar, lines),
    load,
    ranks,
    show(rank: number): void {
      select.value = String(rank);
      void load();
      document.getElementById("logs")!.scrollIntoView({ behavior: "smooth" });
      select.focus({ preventScroll: true });
    },
  };
}

/** What may be asked of a run that goes on; needs its token. */
export function createSteering(run: () => string) {
  const input = el("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", size: 30 });
  const steps = el("input", { type: "number", id: "save-steps", min: 0, step: 1, value: 500 });
  const outcome = el("p", { class: "outcome", role: "status" });
  const where = el("code", {});

  async function ask(wish: "stop" | "checkpoint" | "set", body: object, done: string): Promise<void> {
    if (input.value !== "") token.set(input.value);
    try {
      await api.steer(run(), wish, body);
      outcome.textContent = done;
    } catch (thrown) {
      outcome.textContent = thrown instanceof Error ? thrown.message : String(thrown);
    }
  }
  const button = (label: string, action: () => void, kind = "") =>
    el("button", { type: "button", class: kind, onclick: action }, label);
  const element = section(
    "Steer",
    "steer",
    el("p", { class: "muted" }, "Needs the run's admin token, the first line of ", where, ". It stays in this tab."),
    el(
      "form",
      { class: "bar", onsubmit: (event) => event.preventDefault() },
      el("label", { for: "token" }, "Token"),
      input,
    ),
    el(
      "div",
      { class: "bar" },
      button("Save a checkpoint", () => void ask("checkpoint", {}, "A checkpoint follows the step in work.")),
      button("Stop after a checkpoint", () => void ask("stop", {}, "Stopping after a checkpoint."), "danger"),
      button(
        "Stop at once",
        () => {
          if (window.confirm("Stop the run now, without a checkpoint?")) void ask("stop", { now: true }, "Stopping.");
        },
        "danger",
      ),
    ),
    el(
      "div",
      { class: "bar" },
      el("label", { for: "save-steps" }, "Steps between checkpoints"),
      steps,
      button("Set", () => void ask("set", { saveSteps: steps.valueAsNumber }, "Set.")),
    ),
    outcome,
  );
  return {
    element,
    tokenFile(path: string): void {
      where.textContent = path;
    },
  };
}
