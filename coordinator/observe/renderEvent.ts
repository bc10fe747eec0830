import type { Event } from "../../shared/gen/coord/v1/run_pb.ts";
import { parseEventData } from "./eventData.ts";
import { formatCount, formatDateTime, formatDuration, formatLoss, formatRate, formatTime } from "./format.ts";
import { createStyle } from "./style.ts";
import { fitWidth } from "./textWidth.ts";
import type { ViewModel } from "./viewModel.ts";

/** The line that a terminal keeps above the progress area; undefined for events that the area itself shows. */
export function renderEvent(event: Event, options: { columns: number; color: boolean }): string | undefined {
  if (event.kind === "step" || (event.kind === "data" && parseEventData(event.dataJson).done !== undefined)) {
    return undefined;
  }
  const style = createStyle(options.color);
  const paint = { error: style.red, warning: style.yellow, checkpoint: style.green }[event.kind] ?? ((text) => text);
  const message = oneLine(event.message);
  // An error or a warning is never cut: what it says may be all that there is to go by.
  const whole = event.kind === "error" || event.kind === "warning";
  const text = whole ? message : fitWidth(message, Math.max(1, options.columns - timeColumns - 1));
  return `${style.dim(formatTime(Number(event.timeMs)))}  ${paint(text)}`;
}

const timeColumns = "21:54:03  ".length;

/** What the lines of a plain log depend on besides the event itself. */
export interface PlainOptions {
  /** Steps between lines with figures. */
  readonly loggingSteps: number;
  /** The model before the event, to see what it changed. */
  readonly before: ViewModel;
  /** The model after the event. */
  readonly after: ViewModel;
}

/** The line for a log file or pipe; undefined for events that are not worth one. */
export function renderPlain(event: Event, options: PlainOptions): string | undefined {
  const text = plainText(event, options);
  return text === undefined ? undefined : `${formatDateTime(Number(event.timeMs))}  ${text}`;
}

function plainText(event: Event, { loggingSteps, before, after }: PlainOptions): string | undefined {
  switch (event.kind) {
    case "step":
      return isLoggingStep(after, loggingSteps) ? stepText(after) : undefined;
    case "data":
      if (after.data === before.data) return oneLine(event.message);
      return landmark(after) === landmark(before) ? undefined : oneLine(event.message);
    case "warning":
    case "error":
      return `${event.kind}: ${oneLine(event.message)}`;
    default:
      return oneLine(event.message);
  }
}

function isLoggingStep({ lastLoss, maxSteps }: ViewModel, loggingSteps: number): boolean {
  const step = lastLoss?.step ?? 0;
  return step === 1 || step === maxSteps || step % loggingSteps === 0;
}

function stepText(model: ViewModel): string {
  const { lastLoss, learningRate, tokensPerSecond, etaSeconds } = model;
  const fields = [`step ${lastLoss?.step ?? model.step}/${model.maxSteps}`];
  if (lastLoss !== undefined) fields.push(`loss ${formatLoss(lastLoss.loss)}`);
  if (learningRate !== undefined) fields.push(`lr ${formatRate(learningRate)}`);
  if (tokensPerSecond !== undefined) fields.push(`${formatCount(tokensPerSecond)} tokens/s`);
  if (etaSeconds !== undefined) fields.push(`ETA ${formatDuration(etaSeconds)}`);
  fields.push(`workers ${model.workersAlive}/${model.worldSize}`);
  return fields.join("  ");
}

/** A line is due when this changes: at each tenth of the data set, or at each power of ten while its size is not known. */
function landmark({ data }: ViewModel): string {
  if (data === undefined) return "none";
  const { done, total } = data;
  return total === 0 ? `10^${String(done).length}` : `${Math.floor((10 * done) / total)}/10`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ");
}
