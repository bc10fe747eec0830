/** What both sides are started with: the same model, tokens and adapter. */
export interface SpeedSettings {
  readonly modelDirectory: string;
  readonly threads: number;
  readonly r: number;
  readonly alpha: number;
  readonly targetModules: readonly string[];
  readonly learningRate: number;
  readonly inputIds: readonly number[];
  /** Of matrix products whose rate is measured: rows, inner size, columns. */
  readonly shapes: readonly (readonly [number, number, number])[];
}

export interface StepAnswer {
  readonly seconds: number;
  /** Mean over label tokens. */
  readonly loss: number;
  /** Largest resident size so far (VmHWM). */
  readonly peakBytes: number;
}

export interface SpeedResult {
  readonly model: string;
  readonly tokens: number;
  readonly threads: number;
  readonly sides: readonly [ours: string, theirs: string];
  /** Operations of the matrix products of a step. */
  readonly operations: number;
  /** Most operations per second that a matrix product reached on either side. */
  readonly peakRate: number;
  readonly ours: readonly StepAnswer[];
  readonly theirs: readonly StepAnswer[];
}
