import type { RunEvent } from "../observe/eventLog.ts";

/** Figures of a step, in the order of each row of a history. */
export const stepFields = [
  "step",
  "loss",
  "learningRate",
  "gradientNorm",
  "tokensPerSecond",
  "stepMs",
  "computeMs",
  "reduceMs",
] as const;

/** Values by `stepFields`; null for one that is missing or not finite. */
export type StepRow = readonly (number | null)[];

/** Something that is marked in the curves. */
export interface Mark {
  readonly step: number;
  readonly kind: "checkpoint" | "restart" | "early-stop" | "start";
  readonly message: string;
}

/** What new events add to a history: what is behind `keepTo` is forgotten first. */
export interface HistoryChange {
  /** Steps after this one were taken back and are repeated. */
  readonly keepTo?: number;
  readonly rows: readonly StepRow[];
  /** Step and mean loss of the held-out set. */
  readonly evaluations: readonly (readonly [number, number | null])[];
  readonly marks: readonly Mark[];
}

/** A run's figures, as the dashboard draws them; grows event by event. */
export class History {
  #rows: StepRow[] = [];
  #evaluations: (readonly [number, number | null])[] = [];
  readonly #marks: Mark[] = [];
  #formed = false;

  /** Takes events in order and returns what they have changed. */
  add(events: readonly RunEvent[]): HistoryChange {
    const change = { keepTo: undefined as number | undefined, rows: [] as StepRow[], evaluations: [], marks: [] };
    for (const event of events) this.#take(event, change);
    const { keepTo, ...rest } = change;
    return keepTo === undefined ? rest : { keepTo, ...rest };
  }

  /** Everything so far, with at most `most` rows: every n-th and the last one. */
  all(most: number): HistoryChange {
    const every = Math.max(1, Math.ceil(this.#rows.length / most));
    const rows = this.#rows.filter((_, index) => index % every === 0 || index === this.#rows.length - 1);
    return { rows, evaluations: this.#evaluations, marks: this.#marks };
  }

  #take(event: RunEvent, change: { keepTo: number | undefined } & Mutable<Omit<HistoryChange, "keepTo">>): void {
    const { data, kind, message } = event;
    const step = typeof data["step"] === "number" ? data["step"] : undefined;
    const mark = (at: number, which: Mark["kind"]) => {
      const found: Mark = { step: at, kind: which, message };
      this.#marks.push(found);
      change.marks.push(found);
    };
    switch (kind) {
      case "step": {
        if (step === undefined) return;
        if (step <= this.#lastStep) this.#goBack(step - 1, change);
        const row = stepFields.map((field) => finite(data[field]));
        this.#rows.push(row);
        change.rows.push(row);
        return;
      }
      case "evaluation": {
        if (step === undefined) return;
        const point = [step, finite(data["loss"])] as const;
        this.#evaluations = [...this.#evaluations.filter(([at]) => at !== step), point];
        change.evaluations.push(point);
        return;
      }
      case "checkpoint":
        if (step !== undefined) mark(step, "checkpoint");
        return;
      case "membership":
        if (data["generation"] === undefined) return;
        if (this.#formed) mark(this.#lastStep, "restart");
        this.#formed = true;
        return;
      case "state":
        if (data["earlyStop"] === true) mark(step ?? this.#lastStep, "early-stop");
        else if (step !== undefined && step > 0) mark(step, "start");
        return;
    }
  }

  get #lastStep(): number {
    return this.#rows.at(-1)?.[0] ?? 0;
  }

  #goBack(step: number, change: { keepTo: number | undefined } & Mutable<Omit<HistoryChange, "keepTo">>): void {
    const keep = (at: number | null) => (at ?? 0) <= step;
    this.#rows = this.#rows.filter(([at]) => keep(at ?? 0));
    this.#evaluations = this.#evaluations.filter(([at]) => keep(at));
    // What came in the same change and is taken back was never shown.
    change.rows = change.rows.filter(([at]) => keep(at ?? 0));
    change.evaluations = change.evaluations.filter(([at]) => keep(at));
    change.keepTo = Math.min(step, change.keepTo ?? step);
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

function finite(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
