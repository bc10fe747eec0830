import { type GraphWriter, inputNames, type LinearOptions, type ModelDescription } from "./description.ts";
import type { Dim, Shape, Tensor } from "./graph.ts";
import { type LowRank, linear, negativeLogLikelihood } from "./layers.ts";
import { gatherRows, input, parameter } from "./operations.ts";
import { isSaved, isTarget, scalingOf, type Trainable } from "./trainable.ts";

/** A dropout mask that is fed with each batch. */
export interface DropoutMask {
  /** Name of the input. */
  readonly name: string;
  /** The module that it belongs to, which keys its random numbers. */
  readonly module: string;
  /** Which rows it has: all tokens, or those with a label. */
  readonly rows: "T" | "L";
  readonly features: number;
}

/** A model's graph and what was met on the way. */
export interface WrittenModel {
  /** The loss of each label token: [L]. */
  readonly loss: Tensor;
  /** By name, in the order of the model. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly masks: readonly DropoutMask[];
  /** Linear modules, in the order of the model. */
  readonly modules: readonly string[];
  /** Their weights, but for the head's. */
  readonly linearWeights: ReadonlySet<string>;
  /** By name of a trained tensor, what it starts from. */
  readonly starts: ReadonlyMap<string, Start>;
  /** Modules that can be trained as a whole: embeddings and the head. */
  readonly saveable: readonly string[];
}

/** A weight of the base model that a trained tensor starts from: a copy, or the length of the weights of each output. */
export interface Start {
  readonly from: string;
  readonly shape: readonly number[];
  readonly as: "copy" | "row lengths" | "column lengths";
}

/** Where a model is taken apart: each may stand something else in for what the model has there. */
export interface Cuts {
  boundary(x: Tensor): Tensor;
  /** Undefined to look rows up in the table itself. */
  lookUp(name: string, shape: readonly [number, number], ids: Tensor): Tensor | undefined;
  /** Undefined to write the head and its loss as any other part. */
  headLoss(x: Tensor, weight: string, vocabularySize: number): Tensor | undefined;
}

interface BaseWeight {
  readonly name: string;
  readonly shape: Shape;
  readonly transposed: boolean;
}

/** Writes a model in one piece, or cut by `cuts`. */
export function writeModel(
  description: ModelDescription,
  trainable: Trainable,
  withDropout: boolean,
  cuts?: Cuts,
): WrittenModel {
  const parameters = new Map<string, Tensor>();
  const masks: DropoutMask[] = [];
  const modules: string[] = [];
  const linearWeights = new Set<string>();
  const starts = new Map<string, Start>();
  const saveable: string[] = [];
  const own = (name: string, shape: Shape): Tensor => {
    const tensor = parameters.get(name) ?? parameter(name, shape);
    parameters.set(name, tensor);
    return tensor;
  };
  /** A trained copy of a weight of the base model. */
  const copied = (name: string, from: string, shape: Shape): Tensor => {
    const copy = `${adapterPrefix}${name}`;
    starts.set(copy, { from, shape: shape as readonly number[], as: "copy" });
    return own(copy, shape);
  };
  const isAdapted = (module: string) =>
    trainable.kind === "lora" && isTarget(module, trainable.targetModules) && !isSaved(module, trainable);
  const lowRank = (module: string, x: Tensor, outFeatures: number, base: BaseWeight): LowRank | undefined => {
    if (trainable.kind !== "lora" || !isAdapted(module)) return undefined;
    const [rows, features] = x.shape as [Dim, number];
    const { rank, scale } = scalingOf(trainable, module);
    const low = {
      down: own(`${adapterPrefix}${module}.lora_A.weight`, [rank, features]),
      up: own(`${adapterPrefix}${module}.lora_B.weight`, [outFeatures, rank]),
      scale,
      ...(trainable.useDora ? { magnitude: magnitude(module, outFeatures, base) } : {}),
    };
    if (!withDropout) return low;
    const name = `dropout.${module}`;
    masks.push({ name, module, rows: rows as "T" | "L", features });
    return { ...low, mask: input(name, x.shape) };
  };
  const magnitude = (module: string, outFeatures: number, { name: from, shape, transposed }: BaseWeight): Tensor => {
    const name = `${adapterPrefix}${module}.lora_magnitude_vector`;
    starts.set(name, { from, shape: shape as readonly number[], as: transposed ? "column lengths" : "row lengths" });
    return own(name, [outFeatures]);
  };
  const affine = (module: string, x: Tensor, outFeatures: number, options: LinearOptions = {}) => {
    const { bias = false, tiedTo = `${module}.weight`, transposed = false } = options;
    modules.push(module);
    const inFeatures = x.shape[1]!;
    const shape = transposed ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
    const saved = isSaved(module, trainable);
    const weight = saved ? copied(`${module}.weight`, tiedTo, shape) : own(tiedTo, shape);
    const offset = bias ? biasOf(module, outFeatures, saved) : undefined;
    return linear(x, {
      weight,
      transposed,
      bias: offset,
      lowRank: lowRank(module, x, outFeatures, { name: tiedTo, shape, transposed }),
    });
  };
  const biasOf = (module: string, outFeatures: number, saved: boolean): Tensor => {
    const name = `${module}.bias`;
    if (saved) return copied(name, name, [outFeatures]);
    // PEFT keeps the bias where it is, in the layer that the adapter is wrapped around.
    const trained = trainable.kind === "lora" && trainable.bias === "lora_only" && isAdapted(module);
    return trained ? copied(`${module}.base_layer.bias`, name, [outFeatures]) : own(name, [outFeatures]);
  };
  const writer: GraphWriter = {
    parameter: own,
    linear(module, x, outFeatures, options = {}) {
      linearWeights.add(options.tiedTo ?? `${module}.weight`);
      return affine(module, x, outFeatures, options);
    },
    lookUp(name, shape, ids) {
      const module = name.replace(/\.weight$/, "");
      saveable.push(module);
      if (isSaved(module, trainable)) return gatherRows(copied(name, name, shape), ids);
      return cuts?.lookUp(name, shape, ids) ?? gatherRows(own(name, shape), ids);
    },
    boundary: (x) => cuts?.boundary(x) ?? x,
    headLoss(module, x, vocabularySize, options = {}) {
      saveable.push(module);
      const weight = options.tiedTo ?? `${module}.weight`;
      const apart =
        isAdapted(module) || isSaved(module, trainable) ? undefined : cuts?.headLoss(x, weight, vocabularySize);
      if (apart) return apart;
      const logits = affine(module, x, vocabularySize, options); // [L, vocabulary]
      return negativeLogLikelihood(logits, input(inputNames.targets, ["L"], "int32"));
    },
  };
  return { loss: description.loss(writer), parameters, masks, modules, linearWeights, starts, saveable };
}

/** PEFT's prefix of every tensor of an adapter. */
const adapterPrefix = "base_model.model.";

/** Whether a tensor is trained, not frozen. */
export const isTrained = (name: string, trainable: Trainable): boolean =>
  trainable.kind === "full" || name.startsWith(adapterPrefix);
