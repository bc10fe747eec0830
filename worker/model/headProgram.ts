import type { ApartHead } from "./cutModel.ts";
import { exp, input, logSoftmax, matmul, slice, sub } from "./operations.ts";
import { type Program, toProgram } from "./program.ts";

/** Names of what a head program is fed with. */
export const headInputs = { x: "x", weight: "weight" } as const;

/** Bytes of a part of the head's weights in float32, at most. */
const partBytes = 32 * 2 ** 20;
/** Rows of a part at most: they bound the logits that are held at once. */
const maxRows = 4096;

/** First row of each part of a head, and the end of the last one. */
export function headParts({ shape: [vocabulary, features] }: ApartHead): number[] {
  const most = Math.max(1, Math.min(maxRows, Math.floor(partBytes / (4 * features))));
  const count = Math.ceil(vocabulary / most);
  return Array.from({ length: count + 1 }, (_, part) => Math.round((part * vocabulary) / count));
}

/**
 * One part of the vocabulary, `rows` of it. Outputs: ln Σ exp(logit) of each row of x [L, 1], and, for training, the
 * gradient of that by x [L, features].
 */
export function headProgram({ shape: [, features] }: ApartHead, rows: number, forTraining: boolean): Program {
  const x = input(headInputs.x, ["L", features]);
  const weight = input(headInputs.weight, [rows, features]);
  const logits = matmul(x, weight, { transposeB: true });
  const logShares = logSoftmax(logits);
  const logSum = sub(slice(logits, 0, 1), slice(logShares, 0, 1));
  return toProgram(forTraining ? [logSum, matmul(exp(logShares), weight)] : [logSum]);
}
