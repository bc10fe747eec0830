import { type InferenceSession, Tensor } from "onnxruntime-node";
import { CoordError } from "../../../shared/errors.ts";
import { elementCount } from "../../../shared/tensors/layout.ts";
import { dropoutMask, InputMaker, type InputValue } from "../../model/batchInputs.ts";
import { inputNames } from "../../model/description.ts";
import { estimateMemory } from "../../model/memory.ts";
import type { Model } from "../../model/model.ts";
import { firstOf, probe } from "../../model/notFinite.ts";
import type { Batch, DropoutKey, Engine, MemoryEstimate, TokenLoss } from "../engine.ts";
import type { Provider } from "./chooseProvider.ts";
import { emitOnnx } from "./emitOnnx.ts";
import { FirstRunProfile } from "./firstRunProfile.ts";
import { floats, total } from "./floats.ts";
import type { PlacedWeights } from "./placeWeights.ts";
import { guarded, openSession, type SessionOptions } from "./session.ts";

const lossName = "loss";
const noWeights: PlacedWeights = { external: new Map(), folder: undefined, fed: new Map() };

export interface OnnxEngineOptions {
  readonly threads?: number;
  readonly provider?: Provider;
  /** Gets a line on the nodes that the provider leaves to the CPU. */
  readonly onNote?: (line: string) => void;
}

/** Runs a model with onnxruntime. Blocks the thread while it computes; worker/engine/engineHost.ts gives it one of its own. */
export class OnnxEngine implements Engine {
  readonly description: string;
  readonly layout: Model["layout"];
  readonly #model: Model;
  readonly #weights: PlacedWeights;
  readonly #options: SessionOptions;
  #profile: FirstRunProfile | undefined;
  readonly #training: InferenceSession;
  #evaluation: Promise<InferenceSession> | undefined;
  readonly #parameters: Float32Array;
  /** Fed at each run: weights and parameters, which do not change place. */
  readonly #constantFeeds: Record<string, Tensor> = {};
  readonly #inputs: InputMaker;

  /** Opens the training session. `weights` holds the model's frozen weights; a model without any needs none. */
  static async create(
    model: Model,
    weights: PlacedWeights = noWeights,
    { onNote = () => {}, provider = "cpu", threads = 1 }: OnnxEngineOptions = {},
  ): Promise<OnnxEngine> {
    const gradients = model.layout.tensors.map(({ name }) => gradientName(name));
    const bytes = emitOnnx(model.training, [lossName, ...gradients], weights.external);
    const { folder } = weights;
    const options = { provider, threads, ...(folder === undefined ? {} : { folder }) };
    // What the CPU has to take over is known when the first step has run.
    const profile = provider === "cpu" ? undefined : new FirstRunProfile(provider, onNote);
    const profiled = profile ? { ...options, profilePrefix: profile.prefix } : options;
    return new OnnxEngine(model, weights, options, await openSession(bytes, profiled), profile);
  }

  private constructor(
    model: Model,
    weights: PlacedWeights,
    options: SessionOptions,
    training: InferenceSession,
    profile: FirstRunProfile | undefined,
  ) {
    const { provider = "cpu", threads } = options;
    this.description = `onnx (${provider}, ${threads} ${threads === 1 ? "thread" : "threads"})`;
    this.#profile = profile;
    this.layout = model.layout;
    this.#model = model;
    this.#inputs = new InputMaker(model);
    this.#weights = weights;
    this.#options = options;
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
    // A batch without labels has no loss, and the runtime no rows to compute.
    if (tokens > 0) {
      const values = new Map(inputs.values);
      values.set(inputNames.lossGradient, { data: new Float32Array(tokens).fill(1), shape: [tokens] });
      for (const mask of this.#model.masks) {
        values.set(mask.name, dropoutMask(mask, this.#model.dropout, inputs, dropout));
      }
      const results = await this.#run(this.#training, values);
      this.#profile = this.#profile?.end(this.#training);
      sum = total(floats(results[lossName]));
      for (const { name, offset } of this.layout.tensors) {
        const part = floats(results[gradientName(name)]);
        for (let i = 0; i < part.length; i++) gradient[offset + i]! += part[i]!;
      }
    }
    onGradient?.(0, this.layout.elements);
    return { sum, tokens };
  }

  async evaluate(batch: Batch): Promise<TokenLoss> {
    const inputs = this.#inputs.of(batch);
    if (inputs.sizes.L === 0) return { sum: 0, tokens: 0 };
    const results = await this.#run(await this.#evaluationSession(), inputs.values);
    return { sum: total(floats(results[lossName])), tokens: inputs.sizes.L };
  }

  async firstNotFinite(batch: Batch): Promise<string | undefined> {
    const { modules, program } = probe(this.#model.evaluation);
    const names = modules.map((_, index) => `sum.${index}`);
    const session = await openSession(emitOnnx(program, names, this.#weights.external), this.#options);
    try {
      const sums = await this.#run(session, this.#inputs.of(batch).values);
      return firstOf(
        modules,
        names.map((name) => floats(sums[name])),
      );
    } finally {
      await session.release();
    }
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
    this.#profile = this.#profile?.end(this.#training);
    await this.#training.release();
    await (await this.#evaluation)?.release();
  }

  /** Opened when first needed: onnxruntime computes all outputs of a session, so the loss alone needs one of its own. */
  #evaluationSession(): Promise<InferenceSession> {
    this.#evaluation ??= openSession(
      emitOnnx(this.#model.evaluation, [lossName], this.#weights.external),
      this.#options,
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
