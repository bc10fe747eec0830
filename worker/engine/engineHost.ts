import { Worker } from "node:worker_threads";
import { Deferred } from "../../shared/deferred.ts";
import { CoordError } from "../../shared/errors.ts";
import type { ParamLayout } from "../../shared/tensors/layout.ts";
import { checkLength } from "../model/batchInputs.ts";
import type { Execution } from "../model/execution.ts";
import { estimateMemory } from "../model/memory.ts";
import type { Model } from "../model/model.ts";
import { openModel } from "../model/openModel.ts";
import type { Trainable } from "../model/trainable.ts";
import type { Device } from "./device.ts";
import type { Batch, DropoutKey, Engine, MemoryEstimate, TokenLoss } from "./engine.ts";
import type { EngineName, EngineNote, EngineRequest, EngineResponse, EngineThreadData } from "./engineMessages.ts";

/** What an engine is made from. */
export interface EngineHostOptions {
  readonly modelDirectory: string;
  readonly trainable: Trainable;
  /** Compute threads. */
  readonly threads: number;
  /** As one graph, unless given. */
  readonly execution?: Execution;
  /** Tokens of the longest sample to come. */
  readonly maxLength?: number;
  /** onnx unless given. */
  readonly engine?: EngineName;
  /** The fastest that is there, unless given. */
  readonly device?: Device;
  /** Gets lines for the log: what was chosen to compute with, and why. */
  readonly onNote?: (line: string) => void;
}

/** Longest that the end of the process waits for a computation, in milliseconds. */
const exitWaitMs = 30_000;

/**
 * An engine in a thread of its own: tensor libraries block the thread that they are called from, and a worker has to
 * answer its coordinator while it computes.
 */
export class EngineHost implements Engine {
  readonly layout: ParamLayout;
  readonly #model: Model;
  readonly #thread: Worker;
  readonly #parameters: Float32Array;
  readonly #gradient: Float32Array;
  readonly #busy: Int32Array;
  readonly #execution: Execution;
  readonly #waiting = new Map<number, Deferred<Answer>>();
  /** What is done with each range of a gradient that becomes final. */
  #onFinal: (start: number, end: number) => void = () => {};
  #description = "";
  #lastId = 0;
  #failure: CoordError | undefined;

  /** Starts the thread and waits until the model is loaded. Throws what opening the engine throws. */
  static async start(options: EngineHostOptions): Promise<EngineHost> {
    const model = await openModel(options.modelDirectory, options.trainable);
    checkLength(model, options.maxLength ?? 0);
    const host = new EngineHost(model, options);
    try {
      host.#description = (await host.#answer(0)).description ?? "";
      return host;
    } catch (thrown) {
      await host.#terminate();
      throw thrown;
    }
  }

  private constructor(model: Model, options: EngineHostOptions) {
    this.#model = model;
    this.layout = model.layout;
    this.#execution = options.execution ?? { kind: "whole" };
    const vector = () => new SharedArrayBuffer(Math.max(1, this.layout.elements) * Float32Array.BYTES_PER_ELEMENT);
    const busy = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const { device = { kind: "auto" }, engine = "onnx", modelDirectory, onNote, threads, trainable } = options;
    const opening = { device, engine, execution: this.#execution, modelDirectory, threads, trainable };
    const data: EngineThreadData = { ...opening, parameters: vector(), gradient: vector(), busy };
    this.#parameters = new Float32Array(data.parameters);
    this.#gradient = new Float32Array(data.gradient);
    this.#busy = new Int32Array(busy).fill(1);
    process.once("exit", this.#awaitIdle);
    const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
    this.#thread = new Worker(new URL(`./engineThread${extension}`, import.meta.url), { workerData: data });
    this.#thread.on("message", (message: EngineResponse | EngineNote) => {
      if ("note" in message) onNote?.(message.note);
      else this.#settle(message);
    });
    this.#thread.on("error", (thrown) => this.#fail(`failed: ${thrown instanceof Error ? thrown.message : thrown}`));
    this.#thread.on("exit", (code) => this.#fail(`ended with code ${code}`));
  }

  get description(): string {
    return this.#description;
  }

  async initialParameters(seed: number): Promise<Float32Array> {
    return this.#model.initialParameters(seed);
  }

  async forwardBackward(
    batch: Batch,
    gradient: Float32Array,
    { dropout, onGradient }: { dropout?: DropoutKey; onGradient?: (start: number, end: number) => void } = {},
  ): Promise<TokenLoss> {
    const added = this.#gradient;
    this.#onFinal = (start, end) => {
      for (let i = start; i < end; i++) gradient[i]! += added[i]!;
      onGradient?.(start, end);
    };
    return this.#lossOf({ method: "forwardBackward", batch, dropout });
  }

  async evaluate(batch: Batch): Promise<TokenLoss> {
    return this.#lossOf({ method: "evaluate", batch });
  }

  async firstNotFinite(batch: Batch): Promise<string | undefined> {
    return (await this.#call({ method: "firstNotFinite", batch })).module;
  }

  async setParameters(flat: Float32Array): Promise<void> {
    this.#parameters.set(flat);
    await this.#call({ method: "setParameters" });
  }

  memory(batch: number, sequence: number): MemoryEstimate {
    return estimateMemory(this.#model, this.#execution, batch, sequence);
  }

  async dispose(): Promise<void> {
    if (!this.#failure) await this.#call({ method: "dispose" });
    await this.#terminate();
  }

  async #terminate(): Promise<void> {
    process.removeListener("exit", this.#awaitIdle);
    await this.#thread.terminate();
  }

  /** onnxruntime aborts the process when its thread is stopped in the middle of a computation: exit code 134. */
  readonly #awaitIdle = () => {
    if (!this.#failure) Atomics.wait(this.#busy, 0, 1, exitWaitMs);
  };

  async #lossOf(call: EngineRequest["call"]): Promise<TokenLoss> {
    const { loss } = await this.#call(call);
    if (!loss) throw new CoordError("INTERNAL", `The engine's thread answered ${call.method} without a loss.`);
    return loss;
  }

  async #call(call: EngineRequest["call"]): Promise<Answer> {
    if (this.#failure) throw this.#failure;
    const id = ++this.#lastId;
    this.#thread.postMessage({ id, call } satisfies EngineRequest);
    return this.#answer(id);
  }

  #answer(id: number): Promise<Answer> {
    const answer = new Deferred<Answer>();
    this.#waiting.set(id, answer);
    return answer.promise;
  }

  #settle(response: EngineResponse): void {
    if ("final" in response) {
      this.#onFinal(...response.final);
      return;
    }
    const waiting = this.#waiting.get(response.id);
    this.#waiting.delete(response.id);
    if (!("error" in response)) {
      waiting?.resolve(response);
      return;
    }
    const { code, message, stack } = response.error;
    const error = new CoordError(code, message);
    error.stack = stack;
    waiting?.reject(error);
  }

  /** The thread is gone: nothing that is or will be asked is answered. */
  #fail(how: string): void {
    this.#failure ??= new CoordError("ENGINE_FAILED", `The engine's thread ${how}.`);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#failure);
    this.#waiting.clear();
  }
}

type Answer = Exclude<EngineResponse, { error: unknown } | { final: unknown }>;
