import type { TrainingState } from "../../shared/checkpoint/trainingState.ts";
import { CoordError } from "../../shared/errors.ts";
import type { ParamLayout } from "../../shared/tensors/layout.ts";

/**
 * The training state of a worker: the committed one, and beside it the one after a step that has been computed but
 * not yet agreed on. Nothing is lost whichever way the vote ends.
 */
export class HeldState {
  #committed: TrainingState | undefined;
  #pending: TrainingState | undefined;
  #spare: TrainingState | undefined;

  get committed(): TrainingState | undefined {
    return this.#committed;
  }

  get pendingStep(): number {
    return this.#pending?.step ?? 0;
  }

  /** Takes over a state made elsewhere. */
  replace(state: TrainingState): void {
    this.#committed = state;
    this.#pending = undefined;
  }

  /** Forgets everything, so that the next assignment brings a state. */
  clear(): void {
    this.#committed = undefined;
    this.#pending = undefined;
  }

  /** Vectors for the state after the next step; their old contents are overwritten. */
  prepare(): TrainingState {
    const { step, layout } = this.#require();
    this.#spare ??= allocate(layout);
    this.#pending = { ...this.#spare, step: step + 1 };
    this.#spare = undefined;
    return this.#pending;
  }

  /** The vote went through: the pending state is the committed one. */
  commit(): void {
    this.#spare = this.#require();
    this.#committed = this.#pending;
    this.#pending = undefined;
  }

  /** The vote was called off, or the worker was told at which step the run is. */
  settle(step: number): TrainingState {
    if (this.#pending?.step === step) this.commit();
    else if (this.#pending) {
      this.#spare = this.#pending;
      this.#pending = undefined;
    }
    const state = this.#require();
    if (state.step !== step) {
      throw new CoordError("STALE_GENERATION", `This worker holds step ${state.step}, the run is at step ${step}.`);
    }
    return state;
  }

  #require(): TrainingState {
    if (!this.#committed) throw new CoordError("STALE_GENERATION", "This worker holds no state.");
    return this.#committed;
  }
}

/** Makes `to` hold the same parameters and moments as `from`. */
export function copyVectors(from: TrainingState, to: TrainingState): void {
  to.parameters.set(from.parameters);
  to.firstMoment.set(from.firstMoment);
  to.secondMoment.set(from.secondMoment);
}

function allocate(layout: ParamLayout): TrainingState {
  const vector = () => new Float32Array(layout.elements);
  return { step: 0, layout, parameters: vector(), firstMoment: vector(), secondMoment: vector() };
}

/** The state before the first step. */
export function initialState(layout: ParamLayout, parameters: Float32Array): TrainingState {
  return { ...allocate(layout), parameters };
}
