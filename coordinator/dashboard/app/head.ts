import type { RunEntry, Status } from "./api.ts";
import { el, setText } from "./dom.ts";
import { formatCount, formatDuration, formatLoss, formatRate } from "./format.ts";

/** The line that is always there: which run, where it stands, its figures. */
export function createHead(head: HTMLElement, onRun: (run: string) => void) {
  const select = el("select", { "aria-label": "Run", onchange: () => onRun(select.value) });
  const state = el("span", { class: "badge", role: "status" });
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Steps done" });
  const steps = el("span", { class: "steps" });
  const figures = el("dl", { class: "figures" });
  const reason = el("p", { class: "reason" });
  const notice = el("p", { class: "notice", role: "alert", hidden: true });
  head.append(
    el("div", { class: "title" }, el("h1", {}, "coord"), select, state),
    el("div", { class: "progress" }, bar, steps),
    figures,
    reason,
    notice,
  );
  const values = new Map<string, HTMLElement>();

  function figure(name: string, value: string | undefined): void {
    let shown = values.get(name);
    if (shown === undefined) {
      shown = el("dd", {});
      values.set(name, shown);
      figures.append(el("div", {}, el("dt", {}, name), shown));
    }
    setText(shown, value ?? "–");
  }

  return {
    runs(entries: readonly RunEntry[], current: string): void {
      select.replaceChildren(
        ...entries.map(({ run, state: where }) =>
          el("option", { value: run, selected: run === current }, `${run} · ${where}`),
        ),
      );
    },
    update(status: Status): void {
      state.className = `badge badge-${status.state}`;
      setText(state, status.state);
      const share = status.maxSteps === 0 ? 0 : status.step / status.maxSteps;
      bar.value = share;
      setText(
        steps,
        `step ${status.step} of ${status.maxSteps === 0 ? "?" : status.maxSteps} (${Math.floor(share * 100)} %)`,
      );
      const maybe = (value: number | null, format: (value: number) => string) =>
        value === null ? undefined : format(value);
      figure("Loss", maybe(status.loss, formatLoss));
      figure("Learning rate", maybe(status.learningRate, formatRate));
      figure("Tokens/s", maybe(status.tokensPerSecond, formatCount));
      figure("ETA", status.state === "training" ? maybe(status.etaSeconds, formatDuration) : undefined);
      figure("Checkpoint", status.checkpoint?.split("/").at(-1));
      setText(reason, status.reason);
      document.title = `${Math.floor(share * 100)} % ${status.state} · coord ${status.run}`;
    },
    /** Says what is wrong with the connection; empty for nothing. */
    notice(text: string): void {
      notice.hidden = text === "";
      setText(notice, text);
    },
  };
}
