import type { HistoryChange, Mark, StepRow } from "./api.ts";

/** Index of each figure in a row of the stream. */
export const field = {
  step: 0,
  loss: 1,
  learningRate: 2,
  gradientNorm: 3,
  tokensPerSecond: 4,
  stepMs: 5,
  computeMs: 6,
  reduceMs: 7,
};

/** Figures of one run as columns; gaps are null. */
export class Series {
  #rows: StepRow[] = [];
  #evaluations: (readonly [number, number | null])[] = [];
  marks: Mark[] = [];

  replace({ evaluations, marks, rows }: HistoryChange): void {
    this.#rows = [...rows];
    this.#evaluations = [...evaluations];
    this.marks = [...marks];
  }

  add({ evaluations, keepTo, marks, rows }: HistoryChange): void {
    if (keepTo !== undefined) {
      this.#rows = this.#rows.filter((row) => (row[0] ?? 0) <= keepTo);
      this.#evaluations = this.#evaluations.filter(([step]) => step <= keepTo);
    }
    this.#rows.push(...rows);
    for (const point of evaluations) {
      this.#evaluations = [...this.#evaluations.filter(([step]) => step !== point[0]), point];
    }
    this.marks.push(...marks);
  }

  get steps(): number[] {
    return this.#rows.map((row) => row[0] ?? 0);
  }

  get evaluations(): readonly (readonly [number, number | null])[] {
    return this.#evaluations;
  }

  column(index: number): (number | null)[] {
    return this.#rows.map((row) => row[index] ?? null);
  }
}

/** Smoothed values remember about this share of the run, at most and at least so many steps. */
const memory = { share: 1 / 30, least: 2, most: 100 } as const;

/** Exponential moving average without the bias towards its first value (Kingma & Ba 2015, section 3). */
export function smoothed(values: readonly (number | null)[]): (number | null)[] {
  const remembered = Math.min(memory.most, Math.max(memory.least, values.length * memory.share));
  const keep = 1 - 1 / remembered;
  let mean = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = keep * mean + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return mean / weight;
  });
}

/** Lays several series over one axis of steps; where one has no value at a step it has a gap that is drawn through. */
export function align(all: readonly { steps: readonly number[]; values: readonly (number | null)[] }[]) {
  const steps = [...new Set(all.flatMap(({ steps: own }) => own))].sort((a, b) => a - b);
  const place = new Map(steps.map((step, index) => [step, index]));
  const columns = all.map(({ steps: own, values }) => {
    const column: (number | null)[] = new Array(steps.length).fill(null);
    for (const [index, step] of own.entries()) column[place.get(step)!] = values[index] ?? null;
    return column;
  });
  return { steps, columns };
}
