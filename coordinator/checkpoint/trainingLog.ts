import type { TrainerLogEntry, TrainerState } from "../../shared/checkpoint/trainerState.ts";
import type { StepFigures } from "../observe/stepMeter.ts";
import { countPatience, type EarlyStoppingRule, earlyStoppingState, patienceUsed, whyToStop } from "./earlyStopping.ts";

/** Keeps HuggingFace's trainer_state.json up to date with what is committed. */
export class TrainingLog {
  constructor(
    private state: TrainerState,
    private readonly loggingSteps: number,
    private readonly rule: EarlyStoppingRule = { patience: 0, threshold: 0 },
  ) {
    this.#remember(patienceUsed(state));
  }

  /** As it stands at the newest committed step. */
  get current(): TrainerState {
    return this.state;
  }

  step(figures: StepFigures): void {
    const { epoch, gradientNorm, inputTokens, learningRate, loss, step } = figures;
    const logged = step % this.loggingSteps === 0 || step === 1 || step === this.state.max_steps;
    const entry = { loss, grad_norm: gradientNorm, learning_rate: learningRate, epoch, step };
    this.state = {
      ...this.state,
      global_step: step,
      epoch,
      num_input_tokens_seen: inputTokens,
      log_history: logged ? [...this.state.log_history, entry] : this.state.log_history,
    };
  }

  /** Why training is to end before its last step, or undefined. */
  get stopReason(): string | undefined {
    return whyToStop(patienceUsed(this.state), this.rule);
  }

  /** Keeps the name under which a tracker of --report-to knows the run, as the state of its callback. */
  tracked(callback: string, attributes: Readonly<Record<string, string>>): void {
    const stateful_callbacks = { ...this.state.stateful_callbacks, [callback]: { args: {}, attributes } };
    this.state = { ...this.state, stateful_callbacks };
  }

  /**
   * Records a held-out loss, the best so far, and how often in a row it was not better. The same step again (after a
   * coordinator was lost) replaces the entry and is not counted twice.
   */
  evaluation(loss: number, epoch: number, step: number): void {
    const isSame = (entry: TrainerLogEntry) => entry.step === step && entry.eval_loss !== undefined;
    const history = this.state.log_history.filter((entry) => !isSame(entry));
    const best = this.state.best_metric === null || loss < this.state.best_metric;
    if (history.length === this.state.log_history.length) {
      this.#remember(countPatience(patienceUsed(this.state), loss, this.state.best_metric, this.rule));
    }
    this.state = {
      ...this.state,
      log_history: [...history, { eval_loss: loss, epoch, step }],
      ...(best ? { best_metric: loss, best_global_step: step } : {}),
    };
  }

  /** Goes back to an earlier step, when all workers were lost and a checkpoint is where training continues. */
  rewind(state: TrainerState): void {
    this.state = state;
    this.#remember(patienceUsed(state));
  }

  /** With the settings of now: they may have changed since the state was saved. */
  #remember(used: number): void {
    const stateful_callbacks = { ...this.state.stateful_callbacks, ...earlyStoppingState(used, this.rule) };
    this.state = { ...this.state, stateful_callbacks };
  }
}
