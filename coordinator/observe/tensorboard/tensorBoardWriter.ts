import { closeSync, mkdirSync, openSync, readdirSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { EventSchema, SessionLog_SessionStatus } from "../../../shared/gen/tensorboard/event_pb.ts";
import type { RunEvent } from "../eventLog.ts";
import type { Tracker } from "../tracker.ts";
import { frameRecord } from "./recordFraming.ts";
import { scalarsOf } from "./scalarsOf.ts";

type EventBody = NonNullable<MessageInitShape<typeof EventSchema>["what"]>;

export interface TensorBoardOptions {
  /** Log directory, which all coordinators of a run share. */
  readonly directory: string;
  /** Steps between two points. */
  readonly loggingSteps: number;
  /** Steps whose held-out losses earlier coordinators of the run have written. */
  readonly evaluated: readonly number[];
}

/**
 * Writes a run's figures for TensorBoard, into a file of its own. Where steps are taken again, after a resume or a
 * return to a checkpoint, readers are told to forget what they have from there on, so that no point is doubled. Throws
 * the system's error where it cannot write.
 */
export class TensorBoardWriter implements Tracker {
  readonly #options: TensorBoardOptions;
  readonly #evaluated: Set<number>;
  #file: number | undefined;
  /** The newest step seen; 0 before the first of this coordinator. */
  #step = 0;
  /** Readers have to forget from this step on, before the next value. */
  #forgetFrom: number | undefined;

  constructor(options: TensorBoardOptions) {
    this.#options = options;
    this.#evaluated = new Set(options.evaluated);
  }

  add(event: RunEvent): void {
    const { kind, timeMs } = event;
    const scalars = scalarsOf(event);
    if (scalars === undefined) return;
    const { step, values } = scalars;
    if (kind === "step") this.#reach(step);
    else if (this.#evaluated.has(step)) return;
    else this.#evaluated.add(step);
    const { loggingSteps } = this.#options;
    if (kind === "step" && step !== 1 && step % loggingSteps !== 0) return;
    this.#file ??= this.#open(timeMs);
    if (this.#forgetFrom !== undefined) {
      const status = SessionLog_SessionStatus.START;
      this.#write(timeMs, this.#forgetFrom, { case: "sessionLog", value: { status } });
      this.#forgetFrom = undefined;
    }
    const value = Object.entries(values).map(([tag, number]) => ({
      tag,
      value: { case: "simpleValue" as const, value: number },
    }));
    this.#write(timeMs, step, { case: "summary", value: { value } });
  }

  async close(): Promise<void> {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  /** The first step of a coordinator, and any that is not the one after the last, may have been taken before. */
  #reach(step: number): void {
    if (this.#step === 0 || step <= this.#step) {
      this.#forgetFrom = Math.min(step, this.#forgetFrom ?? step);
      for (const evaluated of this.#evaluated) if (evaluated >= step) this.#evaluated.delete(evaluated);
    }
    this.#step = step;
  }

  #open(timeMs: number): number {
    const { directory } = this.#options;
    mkdirSync(directory, { recursive: true });
    // Readers take files in the order of their names, which begin with the second.
    const used = readdirSync(directory).map((name) => Number(/^events\.out\.tfevents\.(\d+)\./.exec(name)?.[1] ?? 0));
    const second = used.reduce((latest, other) => Math.max(latest, other + 1), Math.floor(timeMs / 1000));
    const name = `events.out.tfevents.${String(second).padStart(10, "0")}.${hostname()}.${process.pid}.0`;
    this.#file = openSync(join(directory, name), "ax", 0o644);
    this.#write(timeMs, 0, { case: "fileVersion", value: "brain.Event:2" });
    return this.#file;
  }

  #write(timeMs: number, step: number, what: EventBody): void {
    const event = create(EventSchema, { wallTime: timeMs / 1000, step: BigInt(step), what });
    writeSync(this.#file!, frameRecord(toBinary(EventSchema, event)));
  }
}
