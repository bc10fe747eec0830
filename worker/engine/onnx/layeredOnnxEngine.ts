import { type InferenceSession, Tensor } from "onnxruntime-node";
import { CoordError } from "../../../shared/errors.ts";
import { elementCount } from "../../../shared/tensors/layout.ts";
import { type BatchInputs, dropoutMask, InputMaker } from "../../model/batchInputs.ts";
import { type CutModel, type Segment, type SegmentKind, segmentInputs } from "../../model/cutModel.ts";
import { inputNames } from "../../model/description.ts";
import { sizeOf } from "../../model/graph.ts";
import { estimateMemory } from "../../model/memory.ts";
import type { Model } from "../../model/model.ts";
import type { Program } from "../../model/program.ts";
import { SegmentWeights, type WeightStorage } from "../../model/segmentWeights.ts";
import type { Weights } from "../../model/weights.ts";
import type { Batch, DropoutKey, Engine, MemoryEstimate, TokenLoss } from "../engine.ts";
import type { Provider } from "./chooseProvider.ts";
import { emitOnnx } from "./emitOnnx.ts";
import { finalRanges } from "./finalRanges.ts";
import { floats, total } from "./floats.ts";
import { HeadLoss } from "./headLoss.ts";
import { ScratchMemory } from "./scratchMemory.ts";
import { guarded, openSession, type SessionOptions } from "./session.ts";

export interface LayeredOptions {
  readonly threads: number;
  readonly storage: WeightStorage;
  /** The CPU unless given. */
  readonly provider?: Provider;
}

const outputName = "output";
const inputGradientName = "inputGradient";

/**
 * Runs a model with onnxruntime one segment at a time. Only what goes from segment to segment is kept; the backward
 * pass computes each segment again (Chen et al. 2016), so memory grows with one segment's activations, and weights
 * are in float32 for one segment at a time. Blocks the thread while it computes.
 */
export class LayeredOnnxEngine implements Engine {
  readonly description: string;
  readonly layout: Model["layout"];
  readonly #model: Model;
  readonly #cut: CutModel;
  readonly #storage: WeightStorage;
  readonly #weights: SegmentWeights;
  readonly #head: HeadLoss | undefined;
  readonly #options: SessionOptions;
  readonly #sessions = new Map<string, Promise<InferenceSession>>();
  readonly #keys = new WeakMap<Program, string>();
  readonly #parameters: Float32Array;
  readonly #trained = new Map<string, Tensor>();
  readonly #offsets: ReadonlyMap<string, number>;
  /** What each segment hands to the next one, and gradients of that. */
  readonly #hidden = new ScratchMemory();
  readonly #gradients = new ScratchMemory();
  readonly #lookedUp = new ScratchMemory();
  readonly #inputs: InputMaker;

  /** Opens all sessions that training needs. Takes `weights` over: `dispose` closes them. */
  static async create(model: Model, weights: Weights, options: LayeredOptions): Promise<LayeredOnnxEngine> {
    const cut = model.cut();
    try {
      const held = await SegmentWeights.open(model, cut, weights, options.storage);
      const engine = new LayeredOnnxEngine(model, cut, held, options);
      for (const { kind } of cut.segments) {
        await engine.#session(kind.forward, [outputName]);
        if (kind.backward) await engine.#session(kind.backward, gradientNames(kind));
      }
      return engine;
    } catch (thrown) {
      await weights.close();
      throw thrown;
    }
  }

  private constructor(
    model: Model,
    cut: CutModel,
    weights: SegmentWeights,
    { provider = "cpu", threads, storage }: LayeredOptions,
  ) {
    const held = { file: "read layer by layer", int8: "in 8 bits", nf4: "in 4 bits (NF4)" }[storage];
    this.description = `onnx (${provider}, ${threads} ${threads === 1 ? "thread" : "threads"}, activations recomputed, weights ${held})`;
    this.layout = model.layout;
    this.#model = model;
    this.#inputs = new InputMaker(model);
    this.#cut = cut;
    this.#storage = storage;
    this.#weights = weights;
    // Without an arena, memory of one segment is free for the next, and the peak is what the largest one needs.
    this.#options = { provider, threads, arena: false };
    this.#head = cut.head && new HeadLoss(cut.head, weights, this.#options);
    this.#parameters = new Float32Array(model.layout.elements);
    for (const { name, shape, offset } of model.layout.tensors) {
      const view = this.#parameters.subarray(offset, offset + elementCount(shape));
      this.#trained.set(name, new Tensor("float32", view, shape));
    }
    this.#offsets = new Map(model.layout.tensors.map(({ name, offset }) => [name, offset]));
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
    if (tokens === 0) {
      onGradient?.(0, this.layout.elements);
      return { sum: 0, tokens };
    }
    const { segments } = this.#cut;
    let hidden: Float32Array | undefined;
    const kept: (Float32Array | undefined)[] = [];
    for (const [at, segment] of segments.entries()) {
      kept.push(hidden);
      hidden = await this.#returned(segment.kind.forward, segment, inputs, hidden, at, dropout);
    }
    let outputGradient: Float32Array = this.#gradients.of(segments.length % 2, hidden!.length).fill(1);
    const sum = this.#head
      ? await this.#head.run(hidden!, inputs.values.get(inputNames.targets)!.data, outputGradient)
      : total(hidden!);
    for (const [at, segment] of [...segments.entries()].reverse()) {
      if (!segment.kind.backward) break;
      const into = segment.kind.inputGradient ? this.#gradients.of(at % 2, kept[at]!.length) : undefined;
      await this.#goBack(segment.kind.backward, segment, inputs, {
        hidden: kept[at],
        outputGradient,
        into,
        gradient,
        dropout,
      });
      for (const [start, end] of finalRanges(this.layout, segments, at)) onGradient?.(start, end);
      if (!into) break;
      outputGradient = into;
    }
    return { sum, tokens };
  }

  async evaluate(batch: Batch): Promise<TokenLoss> {
    const inputs = this.#inputs.of(batch);
    if (inputs.sizes.L === 0) return { sum: 0, tokens: 0 };
    let hidden: Float32Array | undefined;
    for (const [at, segment] of this.#cut.segments.entries()) {
      hidden = await this.#returned(segment.kind.evaluation, segment, inputs, hidden, at % 2, undefined);
    }
    const sum = this.#head
      ? await this.#head.run(hidden!, inputs.values.get(inputNames.targets)!.data)
      : total(hidden!);
    return { sum, tokens: inputs.sizes.L };
  }

  async firstNotFinite(batch: Batch): Promise<string | undefined> {
    const inputs = this.#inputs.of(batch);
    let hidden: Float32Array | undefined;
    for (const [at, segment] of this.#cut.segments.entries()) {
      hidden = await this.#returned(segment.kind.evaluation, segment, inputs, hidden, at % 2, undefined);
      if (!hidden.every(Number.isFinite)) return layerOf([...segment.parameters.values()]);
    }
    return Number.isFinite((await this.evaluate(batch)).sum) ? undefined : "the head";
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
    return estimateMemory(this.#model, { kind: "layered", storage: this.#storage }, batch, sequence);
  }

  async dispose(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release();
    await this.#head?.dispose();
    await this.#weights.close();
  }

  /** Runs a segment forward; what it returns lies in the scratch memory of number `at`. */
  async #returned(
    program: Program,
    segment: Segment,
    inputs: BatchInputs,
    hidden: Float32Array | undefined,
    at: number,
    dropout: DropoutKey | undefined,
  ): Promise<Float32Array> {
    const session = await this.#session(program, [outputName]);
    const shape = program.steps[program.outputs[0]!]!.shape.map((dim) => sizeOf(dim, inputs.sizes));
    const output = this.#hidden.of(at, elementCount(shape));
    const feeds = await this.#feeds(program, segment, inputs, dropout, { [segmentInputs.hidden]: hidden });
    await guarded(() => session.run(feeds, { [outputName]: new Tensor("float32", output, shape) }));
    return output;
  }

  /** Computes a segment again and goes back through it; adds to `gradient`, and fills `into`. */
  async #goBack(
    backward: Program,
    segment: Segment,
    inputs: BatchInputs,
    given: {
      readonly hidden: Float32Array | undefined;
      readonly outputGradient: Float32Array;
      readonly into: Float32Array | undefined;
      readonly gradient: Float32Array;
      readonly dropout: DropoutKey | undefined;
    },
  ): Promise<void> {
    const names = gradientNames(segment.kind);
    const session = await this.#session(backward, names);
    const { dropout, gradient, hidden, into, outputGradient } = given;
    const feeds = await this.#feeds(backward, segment, inputs, dropout, {
      [segmentInputs.hidden]: hidden,
      [segmentInputs.outputGradient]: outputGradient,
    });
    const wanted = Object.fromEntries(names.map((name): [string, Tensor | null] => [name, null]));
    if (into) wanted[inputGradientName] = new Tensor("float32", into, feeds[segmentInputs.hidden]!.dims);
    const results = await guarded(() => session.run(feeds, wanted));
    segment.trained.forEach((name, index) => {
      const part = floats(results[names[index + (into ? 1 : 0)]!]);
      const offset = this.#offsets.get(name)!;
      for (let i = 0; i < part.length; i++) gradient[offset + i]! += part[i]!;
    });
  }

  async #feeds(
    program: Program,
    segment: Segment,
    inputs: BatchInputs,
    dropout: DropoutKey | undefined,
    between: Readonly<Record<string, Float32Array | undefined>>,
  ): Promise<Record<string, Tensor>> {
    const frozen = await this.#weights.of(segment);
    const feeds: Record<string, Tensor> = {};
    let lookUps = 0;
    for (const { op, shape: dims } of program.steps) {
      if (op.kind !== "parameter" && op.kind !== "input") continue;
      const { name } = op;
      const shape = dims.map((dim) => sizeOf(dim, inputs.sizes));
      const parameter = segment.parameters.get(name);
      const mask = segment.masks.get(name);
      const lookUp = segment.lookUps.get(name);
      const fed = inputs.values.get(name);
      if (parameter !== undefined) {
        feeds[name] = this.#trained.get(parameter) ?? new Tensor("float32", frozen.get(parameter)!, shape);
      } else if (mask) {
        const { data } = dropoutMask(mask, this.#model.dropout, inputs, dropout);
        feeds[name] = new Tensor("float32", data as Float32Array, shape);
      } else if (lookUp) {
        const rows = this.#lookedUp.of(lookUps++, elementCount(shape));
        await this.#weights.rows(lookUp.table, inputs.values.get(lookUp.ids)!.data, rows);
        feeds[name] = new Tensor("float32", rows, shape);
      } else if (fed) {
        const { data } = fed;
        feeds[name] =
          data instanceof Float32Array ? new Tensor("float32", data, fed.shape) : new Tensor("int32", data, fed.shape);
      } else {
        feeds[name] = new Tensor("float32", between[name]!, shape);
      }
    }
    return feeds;
  }

  /** One for all segments that compute the same. */
  #session(program: Program, names: readonly string[]): Promise<InferenceSession> {
    const key = this.#keys.get(program) ?? JSON.stringify(program);
    this.#keys.set(program, key);
    const session = this.#sessions.get(key) ?? openSession(emitOnnx(program, names), this.#options);
    this.#sessions.set(key, session);
    return session;
  }
}

/** The layer that parameters belong to: "model.layers.3". */
function layerOf([first = "the loss"]: readonly string[]): string {
  const name = first.replace(/^base_model\.model\./, "");
  return /^.*?\.\d+(?=\.)/.exec(name)?.[0] ?? name;
}

function gradientNames({ inputGradient, backward }: SegmentKind): string[] {
  const count = (backward?.outputs.length ?? 0) - (inputGradient ? 1 : 0);
  const trained = Array.from({ length: count }, (_, index) => `gradient${index}`);
  return inputGradient ? [inputGradientName, ...trained] : trained;
}
