import { layOut, type ParamLayout } from "../../shared/tensors/layout.ts";
import { describeModel } from "./architectures.ts";
import { type CutModel, cutModel } from "./cutModel.ts";
import { inputNames, type LearnedPositions } from "./description.ts";
import { differentiate } from "./differentiate.ts";
import type { Shape } from "./graph.ts";
import { initialParameters } from "./initialize.ts";
import { input } from "./operations.ts";
import { type Program, toProgram } from "./program.ts";
import { checkPatterns, checkSaved, checkTargets, type Trainable } from "./trainable.ts";
import { type DropoutMask, isTrained, type Start, writeModel } from "./writeModel.ts";

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
  /** Weights of linear modules, but for the head's. */
  readonly linearWeights: ReadonlySet<string>;
  /** The same model in pieces, for engines that run it layer by layer. */
  cut(): CutModel;
  /** By name of a trainable tensor, the weight of the base model that it starts from. */
  readonly starts: ReadonlyMap<string, Start>;
  /** Values of the trainable tensors before the first step; those that start from the base model are there in `openModel`'s only. */
  initialParameters(seed: number): Promise<Float32Array>;
}

/** Describes, adapts and differentiates the model of a config.json; `path` is for messages. */
export function buildModel(content: unknown, path: string, trainable: Trainable): Model {
  const description = describeModel(content, path);
  if (trainable.kind === "lora") checkPatterns(trainable.targetModules);
  const dropout = trainable.kind === "lora" ? trainable.dropout : 0;
  const { linearWeights, loss, masks, modules, parameters, saveable, starts } = writeModel(
    description,
    trainable,
    dropout > 0,
  );
  if (trainable.kind === "lora") {
    checkTargets(trainable.targetModules, modules);
    checkSaved(trainable.modulesToSave ?? [], saveable);
  }
  const learned = [...parameters].filter(([name]) => isTrained(name, trainable));
  const gradients = differentiate(
    loss,
    input(inputNames.lossGradient, ["L"]),
    learned.map(([, tensor]) => tensor),
  );
  const frozen = [...parameters].filter(([name]) => !isTrained(name, trainable));
  const layout = layOut(learned.map(([name, { shape }]) => ({ name, shape: known(shape) })));
  const start = trainable.kind === "lora" ? trainable.initLoraWeights : undefined;
  let pieces: CutModel | undefined;
  return {
    vocabularySize: description.vocabularySize,
    inverseFrequencies: description.inverseFrequencies,
    slidingWindow: description.slidingWindow,
    learnedPositions: description.learnedPositions,
    layout,
    frozen: new Map(frozen.map(([name, { shape }]) => [name, known(shape)])),
    training: toProgram([loss, ...gradients]),
    evaluation: toProgram([writeModel(description, trainable, false).loss]),
    dropout,
    masks,
    linearWeights,
    starts,
    cut: () => {
      pieces ??= cutModel(description, trainable);
      return pieces;
    },
    initialParameters: async (seed) => initialParameters(layout, seed, start),
  };
}

/** Parameters have no symbolic dimensions. */
const known = (shape: Shape) => shape as readonly number[];
