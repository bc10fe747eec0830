/** One end of a worker that was no success. */
export interface Failure {
  readonly atMs: number;
  readonly nodeRank: number;
  readonly localRank: number;
  readonly attempt: number;
  readonly host: string;
  /** "ended with exit code 1", and what is known of why. */
  readonly how: string;
  readonly lastLines: string;
}

/** Failures and restarts of a run, as far back as they count. Times come from a monotonic clock. */
export class FailureHistory {
  #failures: Failure[] = [];
  #restartsAtMs: number[] = [];
  /** By node, since its workers last took part in a committed step. */
  readonly #inARow = new Map<number, number>();

  constructor(private readonly windowMs: number) {}

  add(failure: Failure): void {
    this.#failures = [...this.#failures.filter(({ atMs }) => failure.atMs - atMs <= this.windowMs), failure];
    this.#inARow.set(failure.nodeRank, this.inARow(failure.nodeRank) + 1);
  }

  restarted(nowMs: number): void {
    this.#restartsAtMs.push(nowMs);
  }

  restarts(nowMs: number): number {
    this.#restartsAtMs = this.#restartsAtMs.filter((atMs) => nowMs - atMs <= this.windowMs);
    return this.#restartsAtMs.length;
  }

  inARow(nodeRank: number): number {
    return this.#inARow.get(nodeRank) ?? 0;
  }

  /** All workers have taken a step: what failed before is over. */
  progressed(): void {
    this.#failures = [];
    this.#inARow.clear();
  }

  /** The failure that the others, perhaps, only followed: the first since the run last made progress. */
  get first(): Failure | undefined {
    return this.#failures[0];
  }
}
