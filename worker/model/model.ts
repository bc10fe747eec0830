import { layOut, type ParamLayout } from "../../shared/tensors/layout.ts";
import { describeModel } from "./architectures.ts";
import { type GraphWriter, inputNames, type LearnedPositions, type ModelDescription } from "./description.ts";
import { differentiate } from "./differentiate.ts";
import type { Dim, Shape, Tensor } from "./graph.ts";
import { initialParameters } from "./initialize.ts";
import { type LowRank, linear } from "./layers.ts";
import { input, parameter } from "./operations.ts";
import { type Program, toProgram } from "./program.ts";
import { checkPatterns, checkTargets, isTarget, scalingOf, type Trainable } from "./trainable.ts";

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

/** A model made ready for training: what engines need, and nothing of any engine. */
export interface Model {
  readonly vocabularySize: number;
  readonly inverseFrequencies: Float32Array;
  readonly slidingWindow: number | undefined;
  readonly learnedPositions: LearnedPositions | undefined;
  /** The trainable tensors. */
  readonly layout: ParamLayout;
  /** Name and shape of each frozen weight. */
  readonly frozen: ReadonlyMap<string, readonly number[]>;
  /** Outputs: the loss of each label token [L], then the gradient of each tensor of the layout. */
  readonly training: Program;
  /** Output: the loss of each label token [L], without dropout. */
  readonly evaluation: Program;
  /** Probability that dropout zeroes an element; 0 when there are no masks. */
  readonly dropout: number;
  readonly masks: readonly DropoutMask[];
  /** Values of the trainable tensors before the first step. */
  initialParameters(seed: number): Float32Array;
}

/** Describes, adapts and differentiates the model of a config.json; `path` is for messages. */
export function buildModel(content: unknown, path: string, trainable: Trainable): Model {
  const description = describeModel(content, path);
  if (trainable.kind === "lora") checkPatterns(trainable.targetModules);
  const dropout = trainable.kind === "lora" ? trainable.dropout : 0;
  const { loss, parameters, masks, modules } = write(description, trainable, dropout > 0);
  if (trainable.kind === "lora") checkTargets(trainable.targetModules, modules);
  const learned = trainable.kind === "lora" ? [...parameters].filter(([name]) => isAdapter(name)) : [...parameters];
  const gradients = differentiate(
    loss,
    input(inputNames.lossGradient, ["L"]),
    learned.map(([, tensor]) => tensor),
  );
  const frozen = [...parameters].filter(([name]) => trainable.kind === "lora" && !isAdapter(name));
  const layout = layOut(learned.map(([name, { shape }]) => ({ name, shape: known(shape) })));
  const start = trainable.kind === "lora" ? trainable.initLoraWeights : undefined;
  return {
    vocabularySize: description.vocabularySize,
    inverseFrequencies: description.inverseFrequencies,
    slidingWindow: description.slidingWindow,
    learnedPositions: description.learnedPositions,
    layout,
    frozen: new Map(frozen.map(([name, { shape }]) => [name, known(shape)])),
    training: toProgram([loss, ...gradients]),
    evaluation: toProgram([write(description, trainable, false).loss]),
    dropout,
    masks,
    initialParameters: (seed) => initialParameters(layout, seed, start),
  };
}

/** PEFT's prefix of every tensor of an adapter. */
const adapterPrefix = "base_model.model.";
const isAdapter = (name: string) => name.startsWith(adapterPrefix);

function write(description: ModelDescription, trainable: Trainable, withDropout: boolean) {
  const parameters = new Map<string, Tensor>();
  const masks: DropoutMask[] = [];
  const modules: string[] = [];
  const own = (name: string, shape: Shape): Tensor => {
    const tensor = parameters.get(name) ?? parameter(name, shape);
    parameters.set(name, tensor);
    return tensor;
  };
  const lowRank = (module: string, x: Tensor, outFeatures: number): LowRank | undefined => {
    if (trainable.kind !== "lora" || !isTarget(module, trainable.targetModules)) return undefined;
    const [rows, features] = x.shape as [Dim, number];
    const { rank, scale } = scalingOf(trainable, module);
    const low = {
      down: own(`${adapterPrefix}${module}.lora_A.weight`, [rank, features]),
      up: own(`${adapterPrefix}${module}.lora_B.weight`, [outFeatures, rank]),
      scale,
    };
    if (!withDropout) return low;
    const name = `dropout.${module}`;
    masks.push({ name, module, rows: rows as "T" | "L", features });
    return { ...low, mask: input(name, x.shape) };
  };
  const writer: GraphWriter = {
    parameter: own,
    linear(module, x, outFeatures, { bias = false, tiedTo = `${module}.weight`, transposed = false } = {}) {
      modules.push(module);
      const inFeatures = x.shape[1]!;
      const weight = own(tiedTo, transposed ? [inFeatures, outFeatures] : [outFeatures, inFeatures]);
      const offset = bias ? own(`${module}.bias`, [outFeatures]) : undefined;
      return linear(x, { weight, transposed, bias: offset, lowRank: lowRank(module, x, outFeatures) });
    },
  };
  return { loss: description.loss(writer), parameters, masks, modules };
}

/** Parameters have no symbolic dimensions. */
const known = (shape: Shape) => shape as readonly number[];
