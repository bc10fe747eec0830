import type { RunConfig } from "../../shared/config/schema.ts";
import type { ErrorCode } from "../../shared/errors.ts";
import type { Execution } from "../model/execution.ts";
import type { Trainable } from "../model/trainable.ts";
import type { Device } from "./device.ts";
import type { Batch, DropoutKey, TokenLoss } from "./engine.ts";

export type EngineName = RunConfig["engine"];

/** What the thread of an engine is started with. */
export interface EngineThreadData {
  readonly modelDirectory: string;
  readonly trainable: Trainable;
  readonly threads: number;
  readonly execution: Execution;
  readonly engine: EngineName;
  readonly device: Device;
  /** The flat vectors of parameters and gradients: shared, so that neither is copied between threads. */
  readonly parameters: SharedArrayBuffer;
  readonly gradient: SharedArrayBuffer;
  /** One int32: 1 while the tensor library may be computing, else 0. */
  readonly busy: SharedArrayBuffer;
}

/** One call at a time; the answer carries its number. */
export interface EngineRequest {
  readonly id: number;
  readonly call:
    | { readonly method: "forwardBackward"; readonly batch: Batch; readonly dropout: DropoutKey | undefined }
    | { readonly method: "evaluate" | "firstNotFinite"; readonly batch: Batch }
    | { readonly method: "setParameters" }
    | { readonly method: "dispose" };
}

/** A line for the log that nobody asked for: on the device that was chosen, on what it cannot do. */
export interface EngineNote {
  readonly note: string;
}

/** The answer to the request of that number; number 0 says that the engine is ready, or why it is not. */
export type EngineResponse =
  /** This range of the gradient is final, in elements; more is to come. */
  | { readonly id: number; readonly final: readonly [start: number, end: number] }
  | { readonly id: number; readonly loss?: TokenLoss; readonly description?: string; readonly module?: string }
  | {
      readonly id: number;
      readonly error: { readonly code: ErrorCode; readonly message: string; readonly stack: string };
    };
