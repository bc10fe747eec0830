import type { Event } from "../../shared/gen/coord/v1/run_pb.ts";
import { renderEvent, renderPlain } from "./renderEvent.ts";
import { renderProgress } from "./renderProgress.ts";
import { textWidth } from "./textWidth.ts";
import { emptyModel, type ViewModel } from "./viewModel.ts";

/** Where a run is shown while it goes on. */
export interface RunView {
  /** Shows the model after a message; `event` is absent when only the state changed or the event is old news. */
  update(model: ViewModel, event?: Event): void;
  /** Shows a sentence of the view's own. */
  notice(message: string): void;
  /** Ends the live part and leaves the terminal as it was. */
  close(): void;
}

/** The part of a writable stream that views use. */
export interface ViewOutput {
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  write(text: string): unknown;
}

/** A view for log files and pipes: a line per event that matters. */
export function createPlainView(output: ViewOutput, loggingSteps: number): RunView {
  let before = emptyModel;
  return {
    update(after, event) {
      const line = event && renderPlain(event, { loggingSteps, before, after });
      before = after;
      if (line !== undefined) output.write(`${line}\n`);
    },
    notice: (message) => void output.write(`${message}\n`),
    close() {},
  };
}

const hideCursor = "\u001b[?25l";
const showCursor = "\u001b[?25h";
const eraseBelow = "\u001b[J";
const fallbackColumns = 80;
/** Ten frames a second. */
const frameMs = 100;
/** Without news the ETA still counts down. */
const idleFrameMs = 1000;

/** A view for terminals: past events above, a progress area below that is drawn in place. */
export function createLiveView(output: ViewOutput, color: boolean): RunView {
  let model = emptyModel;
  let drawn: string[] = [];
  let lastDrawMs = 0;
  let timer: NodeJS.Timeout | undefined;

  // A terminal that nobody has given a size (ssh -tt from a script) says that it has 0 columns.
  const columns = () => output.columns || fallbackColumns;

  /** Codes that go back to the start of the area; a terminal made narrower has wrapped its lines meanwhile. */
  function erase(): string {
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(textWidth(line) / columns())), 0);
    return rows === 0 ? "" : `\u001b[${rows}A\r${eraseBelow}`;
  }

  function draw(above: readonly string[] = []): void {
    const nowMs = Date.now();
    const area =
      model.runId === "" ? [] : renderProgress(model, { columns: columns(), rows: output.rows, color, nowMs });
    output.write(`${erase()}${[...above, ...area].map((line) => `${line}\n`).join("")}`);
    drawn = area;
    lastDrawMs = nowMs;
    schedule(idleFrameMs);
  }

  function schedule(afterMs: number): void {
    clearTimeout(timer);
    timer = setTimeout(draw, afterMs);
  }

  output.write(hideCursor);
  // Whatever ends the process, the cursor comes back.
  const restore = () => void output.write(showCursor);
  process.once("exit", restore);
  return {
    update(after, event) {
      model = after;
      const line = event && renderEvent(event, { columns: columns(), color });
      if (line !== undefined) draw([line]);
      else schedule(Math.max(0, lastDrawMs + frameMs - Date.now()));
    },
    notice: (message) => draw([message]),
    close() {
      clearTimeout(timer);
      output.write(erase());
      drawn = [];
      process.removeListener("exit", restore);
      restore();
    },
  };
}
