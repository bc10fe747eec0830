import { CoordError } from "../../shared/errors.ts";
import { randomKey, randomUint32 } from "../../shared/rng.ts";
import type { Batch, DropoutKey } from "../engine/engine.ts";
import { inputNames, unseen } from "./description.ts";
import type { Sizes } from "./graph.ts";
import type { Model } from "./model.ts";
import type { DropoutMask } from "./writeModel.ts";

/** A value to feed, row-major. */
export interface InputValue {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** What a program is run on. */
export interface BatchInputs {
  readonly sizes: Sizes;
  readonly values: ReadonlyMap<string, InputValue>;
}

/** Values that depend on the sequence length alone. */
export interface PositionTables {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
  readonly causalMask: Float32Array;
  /** Of models with a sliding window. */
  readonly slidingMask: Float32Array | undefined;
}

type PositionRules = Pick<Model, "inverseFrequencies" | "slidingWindow">;

/** Turns a batch into the inputs that models are written with (worker/model/description.ts). */
export function batchInputs(model: Model, batch: Batch, positions: PositionTables): BatchInputs {
  const { labels, sequence, inputIds } = batch;
  checkIds(model, inputIds);
  const { places, segments } = placesOf(batch);
  const rows: number[] = [];
  const targets: number[] = [];
  for (let at = 0; at < inputIds.length; at++) {
    // The token at `at` predicts the label after it, unless it ends its sample.
    const label = labels[at + 1];
    if (label === undefined || label < 0 || places[at + 1] === 0) continue;
    rows.push(at);
    targets.push(label);
    checkLength(model, places[at]! + 1);
  }
  checkIds(model, targets);
  const sizes = { B: batch.batch, S: sequence, T: inputIds.length, L: rows.length };
  const half = model.inverseFrequencies.length;
  const values = new Map<string, InputValue>([
    [inputNames.ids, { data: inputIds, shape: [sizes.T] }],
    [inputNames.labelRows, { data: Int32Array.from(rows), shape: [sizes.L] }],
    [inputNames.targets, { data: Int32Array.from(targets), shape: [sizes.L] }],
    [inputNames.positions, { data: positionRows(model, places), shape: [sizes.T] }],
    [inputNames.segments, { data: segments, shape: [sizes.T] }],
    [inputNames.causalMask, { data: positions.causalMask, shape: [sequence, sequence] }],
    [inputNames.cos, { data: positions.cos, shape: [sequence, half] }],
    [inputNames.sin, { data: positions.sin, shape: [sequence, half] }],
  ]);
  if (positions.slidingMask) {
    values.set(inputNames.slidingMask, { data: positions.slidingMask, shape: [sequence, sequence] });
  }
  return { sizes, values };
}

/** The place of each token in its sample, and the number of that sample in its row. */
function placesOf({ sequence, inputIds, segments }: Batch): { places: Int32Array; segments: Float32Array } {
  const places = Int32Array.from({ length: inputIds.length }, (_, at) => at % sequence);
  if (!segments) return { places, segments: new Float32Array(inputIds.length) };
  for (let at = 0; at < places.length; at++) {
    const continues = at % sequence > 0 && segments[at] === segments[at - 1];
    places[at] = continues ? places[at - 1]! + 1 : 0;
  }
  return { places, segments: Float32Array.from(segments) };
}

/** Tokens behind the last learned position are padding, which no label sees: any row of the table does for them. */
function positionRows({ learnedPositions }: Pick<Model, "learnedPositions">, places: Int32Array): Int32Array {
  if (!learnedPositions) return places;
  const { count, firstRow } = learnedPositions;
  return places.map((place) => firstRow + Math.min(place, count - 1));
}

/** Refuses samples of more tokens than the model has learned positions for. Throws CoordError MODEL_INVALID. */
export function checkLength({ learnedPositions }: Pick<Model, "learnedPositions">, tokens: number): void {
  if (!learnedPositions || tokens <= learnedPositions.count) return;
  const { count } = learnedPositions;
  throw new CoordError(
    "MODEL_INVALID",
    `The model has learned positions for samples of ${count} tokens, not for ${tokens}: set --max-length to ${count} or less.`,
  );
}

/** Angles in float32 as transformers computes them. */
export function positionTables({ inverseFrequencies, slidingWindow }: PositionRules, sequence: number): PositionTables {
  const half = inverseFrequencies.length;
  const cos = new Float32Array(sequence * half);
  const sin = new Float32Array(sequence * half);
  const causalMask = new Float32Array(sequence * sequence);
  const slidingMask = slidingWindow === undefined ? undefined : new Float32Array(sequence * sequence);
  for (let position = 0; position < sequence; position++) {
    for (let pair = 0; pair < half; pair++) {
      const angle = Math.fround(position * inverseFrequencies[pair]!);
      cos[position * half + pair] = Math.cos(angle);
      sin[position * half + pair] = Math.sin(angle);
    }
    const row = position * sequence;
    causalMask.fill(unseen, row + position + 1, row + sequence);
    slidingMask?.fill(unseen, row + position + 1, row + sequence);
    slidingMask?.fill(unseen, row, row + Math.max(0, position + 1 - slidingWindow!));
  }
  return { cos, sin, causalMask, slidingMask };
}

/**
 * The dropout mask of one module: 1 / (1 − p) with probability 1 − p, else 0. A pure function of the key, the module
 * and the token's place in the batch, whatever the padding; all ones without a key.
 */
export function dropoutMask(
  mask: DropoutMask,
  probability: number,
  inputs: BatchInputs,
  key: DropoutKey | undefined,
): InputValue {
  const { S, T } = inputs.sizes;
  const labelRows = inputs.values.get(inputNames.labelRows)!.data;
  const rows = mask.rows === "L" ? labelRows : Int32Array.from({ length: T }, (_, row) => row);
  const data = new Float32Array(rows.length * mask.features).fill(1);
  const shape = [rows.length, mask.features];
  if (!key) return { data, shape };
  const threshold = probability * 2 ** 32;
  const kept = 1 / (1 - probability);
  const { low, high } = randomKey("dropout", key.seed, key.step, key.slot, key.microBatch, mask.module);
  rows.forEach((row, index) => {
    const stream = randomKey(low, high, Math.floor(row / S), row % S);
    const offset = index * mask.features;
    for (let feature = 0; feature < mask.features; feature++) {
      data[offset + feature] = randomUint32(stream, feature) < threshold ? 0 : kept;
    }
  });
  return { data, shape };
}

function checkIds({ vocabularySize }: Model, ids: ArrayLike<number>): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (id >= 0 && id < vocabularySize) continue;
    throw new CoordError(
      "MODEL_INVALID",
      `The data has token id ${id}, but the model's vocabulary has ${vocabularySize} entries: the tokenizer does not belong to the model.`,
    );
  }
}

/** Makes the inputs of a model's batches; tables of positions are kept while the sequence length stays the same. */
export class InputMaker {
  #positions: { readonly sequence: number; readonly tables: PositionTables } | undefined;

  constructor(private readonly model: Model) {}

  of(batch: Batch): BatchInputs {
    if (this.#positions?.sequence !== batch.sequence) {
      this.#positions = { sequence: batch.sequence, tables: positionTables(this.model, batch.sequence) };
    }
    return batchInputs(this.model, batch, this.#positions.tables);
  }
}
