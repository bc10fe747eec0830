import { type InferenceSession, Tensor } from "onnxruntime-node";
import { CoordError } from "../../../shared/errors.ts";
import { elementCount } from "../../../shared/tensors/layout.ts";
import {
  type BatchInputs,
  batchInputs,
  dropoutMask,
  type InputValue,
  type PositionTables,
  positionTables,
} from "../../model/batchInputs.ts";
import { inputNames } from "../../model/description.ts";
import { estimateMemory } from "../../model/memory.ts";
import type { Model } from "../../model/model.ts";
import type { Batch, DropoutKey, Engine, MemoryEstimate, TokenLoss } from "../engine.ts";
import { emitOnnx } from "./emitOnnx.ts";
import { floats, total } from "./floats.ts";
import type { PlacedWeights } from "./placeWeights.ts";
import { guarded, openSession } from "./session.ts";

const lossName = "loss";
const noWeights: PlacedWeights = { external: new Map(), folder: undefined, fed: new Map() };

/** Runs a model with onnxruntime. Blocks the thread while it computes; worker/engine/engineHost.ts gives it one of its own. */
export class OnnxEngine implements Engine {
  readonly description: string;
  readonly layout: Model["layout"];
  readonly #model: Model;
  readonly #weights: PlacedWeights;
  readonly #threads: number;
  readonly #training: InferenceSession;
  #evaluation: Promise<InferenceSession> | undefined;
  readonly #parameters: Float32Array;
  /** Fed at each run: weights and parameters, which do not change place. */
  readonly #constantFeeds: Record<string, Tensor> = {};
  #positions: { sequence: number; tables: PositionTables } | undefined;

  /** Opens the training session. `weights` holds the model's frozen weights; a model without any needs none. */
  static async create(model: Model, weights: PlacedWeights = noWeights, threads = 1): Promise<OnnxEngine> {
    const gradients = model.layout.tensors.map(({ name }) => gradientName(name));
    const bytes = emitOnnx(model.training, [lossName, ...gradients], weights.external);
    return new OnnxEngine(model, weights, threads, await openSession(bytes, sessionOptions(weights, threads)));
  }

  private constructor(model: Model, weights: PlacedWeights, threads: number, training: InferenceSession) {
    this.description = `onnx (cpu, ${threads} ${threads === 1 ? "thread" : "threads"})`;
    this.layout = model.layout;
    this.#model = model;
    this.#weights = weights;
    this.#threads = threads;
    this.#training = training;
    this.#parameters = new Float32Array(model.layout.elements);
    for (const [name, data] of weights.fed) {
      this.#constantFeeds[name] = new Tensor("float32", data, model.frozen.get(name)!);
    }
    for (const { name, shape, offset } of model.layout.tensors) {
      const view = this.#parameters.subarray(offset, offset + elementCount(shape));
      this.#constantFeeds[name] = new Tensor("float32", view, shape);
    }
  }

  initialParameters(seed: number): Float32Array {
    return this.#model.initialParameters(seed);
  }

  async forwardBackward(
    batch: Batch,
    gradient: Float32Array,
    { dropout, onGradient }: { dropout?: DropoutKey; onGradient?: (start: number, end: number) => void } = {},
  ): Promise<TokenLoss> {
    const inputs = this.#inputs(batch);
    const tokens = inputs.sizes.L;
    let sum = 0;
    // A batch without labels has no loss, and the runtime no rows to compute.
    if (tokens > 0) {
      const values = new Map(inputs.values);
      values.set(inputNames.lossGradient, { data: new Float32Array(tokens).fill(1), shape: [tokens] });
      for (const mask of this.#model.masks) {
        values.set(mask.name, dropoutMask(mask, this.#model.dropout, inputs, dropout));
      }
      const results = await this.#run(this.#training, values);
      for (const { name, offset } of this.layout.tensors) {
        const part = floats(results[gradientName(name)]);
        for (let i = 0; i < part.length; i++) gradient[offset + i]! += part[i]!;
      }
      sum = total(floats(results[lossName]));
    }
    onGradient?.(0, this.layout.elements);
    return { sum, tokens };
  }

  async evaluate(batch: Batch): Promise<TokenLoss> {
    const { sizes, values } = this.#inputs(batch);
    if (sizes.L === 0) return { sum: 0, tokens: 0 };
    const results = await this.#run(await this.#evaluationSession(), values);
    return { sum: total(floats(results[lossName])), tokens: sizes.L };
  }

  async setParameters(flat: Float32Array): Promise<void> {
    if (flat.length !== this.#parameters.length) {
      throw new CoordError(
        "INTERNAL",
        `The model has ${this.#parameters.length} trainable elements, but ${flat.length} were given.`,
      );
    }
    this.#parameters.set(flat);
  }

  memory(batch: number, sequence: number): MemoryEstimate {
    return estimateMemory(this.#model, { kind: "whole" }, batch, sequence);
  }

  async dispose(): Promise<void> {
    await this.#training.release();
    await (await this.#evaluation)?.release();
  }

  #inputs(batch: Batch): BatchInputs {
    if (this.#positions?.sequence !== batch.sequence) {
      const tables = positionTables(this.#model, batch.sequence);
      this.#positions = { sequence: batch.sequence, tables };
    }
    return batchInputs(this.#model, batch, this.#positions.tables);
  }

  /** Opened when first needed: onnxruntime computes all outputs of a session, so the loss alone needs one of its own. */
  #evaluationSession(): Promise<InferenceSession> {
    this.#evaluation ??= openSession(
      emitOnnx(this.#model.evaluation, [lossName], this.#weights.external),
      sessionOptions(this.#weights, this.#threads),
    );
    return this.#evaluation;
  }

  #run(session: InferenceSession, values: ReadonlyMap<string, InputValue>) {
    const feeds = { ...this.#constantFeeds };
    const wanted = new Set(session.inputNames);
    for (const [name, { data, shape }] of values) {
      if (!wanted.has(name)) continue;
      feeds[name] =
        data instanceof Float32Array ? new Tensor("float32", data, shape) : new Tensor("int32", data, shape);
    }
    return guarded(() => session.run(feeds));
  }
}

const gradientName = (name: string) => `gradient.${name}`;

function sessionOptions({ folder }: PlacedWeights, threads: number) {
  return folder === undefined ? { threads } : { threads, folder };
}
