import type { TrainerLogEntry, TrainerState } from "../../shared/checkpoint/trainerState.ts";
import type { StepFigures } from "../observe/stepMeter.ts";

/** Keeps HuggingFace's trainer_state.json up to date with what is committed. */
export class TrainingLog {
  constructor(
    private state: TrainerState,
    private readonly loggingSteps: number,
  ) {}

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

  /** Records a held-out loss, and the best so far. The same step again (after a resume) replaces the entry. */
  evaluation(loss: number, epoch: number, step: number): void {
    const isSame = (entry: TrainerLogEntry) => entry.step === step && entry.eval_loss !== undefined;
    const history = this.state.log_history.filter((entry) => !isSame(entry));
    const best = this.state.best_metric === null || loss < this.state.best_metric;
    this.state = {
      ...this.state,
      log_history: [...history, { eval_loss: loss, epoch, step }],
      ...(best ? { best_metric: loss, best_global_step: step } : {}),
    };
  }

  /** Goes back to an earlier step, when all workers were lost and a checkpoint is where training continues. */
  rewind(state: TrainerState): void {
    this.state = state;
  }
}
