import type { Tensor } from "@tensorflow/tfjs-core";
import { CoordError } from "../../../shared/errors.ts";
import { elementCount } from "../../../shared/tensors/layout.ts";
import { type BatchInputs, dropoutMask, InputMaker, type InputValue } from "../../model/batchInputs.ts";
import { inputNames } from "../../model/description.ts";
import { estimateMemory } from "../../model/memory.ts";
import type { Model } from "../../model/model.ts";
import { firstOf, probe } from "../../model/notFinite.ts";
import type { Batch, DropoutKey, Engine, MemoryEstimate, TokenLoss } from "../engine.ts";
import type { LoadedTfjs } from "./loadTfjs.ts";
import { ProgramRunner } from "./programRunner.ts";

/** Runs a model with TensorFlow.js. Blocks the thread while it computes; worker/engine/engineHost.ts gives it one of its own. */
export class TfjsEngine implements Engine {
  readonly description: string;
  readonly layout: Model["layout"];
  readonly #library: LoadedTfjs;
  readonly #model: Model;
  readonly #training: ProgramRunner;
  readonly #evaluation: ProgramRunner;
  /** Weights and parameters, which stay. */
  readonly #kept = new Map<string, Tensor>();
  readonly #inputs: InputMaker;

  /** `weights` gives the model's frozen weights one by one. */
  static async create(
    model: Model,
    library: LoadedTfjs,
    readWeight: (name: string) => Promise<Float32Array>,
  ): Promise<TfjsEngine> {
    const engine = new TfjsEngine(model, library);
    for (const [name, shape] of model.frozen) engine.#keep(name, await readWeight(name), shape);
    return engine;
  }

  private constructor(model: Model, library: LoadedTfjs) {
    this.description = library.description;
    this.layout = model.layout;
    this.#library = library;
    this.#model = model;
    this.#inputs = new InputMaker(model);
    this.#training = new ProgramRunner(library.tf, model.training);
    this.#evaluation = new ProgramRunner(library.tf, model.evaluation);
    this.#setParameters(new Float32Array(model.layout.elements));
  }

  async initialParameters(seed: number): Promise<Float32Array> {
    return this.#model.initialParameters(seed);
  }

  async forwardBackward(
    batch: Batch,
    gradient: Float32Array,
    { dropout, onGradient }: { dropout?: DropoutKey; onGradient?: (start: number, end: number) => void } = {},
  ): Promise<TokenLoss> {
    const inputs = this.#inputs.of(batch);
    const tokens = inputs.sizes.L;
    let sum = 0;
    // A batch without labels has no loss, and TensorFlow no rows to compute.
    if (tokens > 0) {
      const values = new Map(inputs.values);
      values.set(inputNames.lossGradient, { data: new Float32Array(tokens).fill(1), shape: [tokens] });
      for (const mask of this.#model.masks) {
        values.set(mask.name, dropoutMask(mask, this.#model.dropout, inputs, dropout));
      }
      const [losses, ...parts] = this.#run(this.#training, { ...inputs, values });
      sum = total(losses!);
      this.layout.tensors.forEach(({ offset }, index) => {
        const part = parts[index]!;
        for (let i = 0; i < part.length; i++) gradient[offset + i]! += part[i]!;
      });
    }
    onGradient?.(0, this.layout.elements);
    return { sum, tokens };
  }

  async evaluate(batch: Batch): Promise<TokenLoss> {
    const inputs = this.#inputs.of(batch);
    if (inputs.sizes.L === 0) return { sum: 0, tokens: 0 };
    const [losses] = this.#run(this.#evaluation, inputs);
    return { sum: total(losses!), tokens: inputs.sizes.L };
  }

  async firstNotFinite(batch: Batch): Promise<string | undefined> {
    const { modules, program } = probe(this.#model.evaluation);
    return firstOf(modules, this.#run(new ProgramRunner(this.#library.tf, program), this.#inputs.of(batch)));
  }

  async setParameters(flat: Float32Array): Promise<void> {
    if (flat.length !== this.layout.elements) {
      throw new CoordError(
        "INTERNAL",
        `The model has ${this.layout.elements} trainable elements, but ${flat.length} were given.`,
      );
    }
    this.#setParameters(flat);
  }

  memory(batch: number, sequence: number): MemoryEstimate {
    return estimateMemory(this.#model, { kind: "whole" }, batch, sequence);
  }

  async dispose(): Promise<void> {
    for (const tensor of this.#kept.values()) tensor.dispose();
    this.#kept.clear();
  }

  #setParameters(flat: Float32Array): void {
    for (const { name, offset, shape } of this.layout.tensors) {
      this.#kept.get(name)?.dispose();
      this.#keep(name, flat.slice(offset, offset + elementCount(shape)), shape);
    }
  }

  #keep(name: string, data: Float32Array, shape: readonly number[]): void {
    this.#kept.set(name, this.#library.tf.tensor(data, [...shape], "float32"));
  }

  #run(runner: ProgramRunner, { sizes, values }: BatchInputs): Float32Array[] {
    const fed = new Map([...values].map(([name, value]) => [name, this.#tensor(value)]));
    try {
      return runner.run(new Map([...this.#kept, ...fed]), sizes);
    } catch (thrown) {
      if (thrown instanceof CoordError) throw thrown;
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      const advice = /alloc|memory|OOM/i.test(reason)
        ? " Lower --per-device-train-batch-size or --max-length, or run fewer workers on this host."
        : "";
      throw new CoordError("ENGINE_FAILED", `TensorFlow.js failed: ${reason}.${advice}`, { cause: thrown });
    } finally {
      for (const tensor of fed.values()) tensor.dispose();
    }
  }

  #tensor({ data, shape }: InputValue): Tensor {
    return this.#library.tf.tensor(data, [...shape], data instanceof Float32Array ? "float32" : "int32");
  }
}

/** In float64, in order. */
function total(losses: Float32Array): number {
  let sum = 0;
  for (const value of losses) sum += value;
  return sum;
}
