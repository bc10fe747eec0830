import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { RunConfig } from "../../shared/config/schema.ts";
import { type AugmentOptions, augmentConversation, parseSynonyms } from "../../shared/dataset/augment.ts";
import { CoordError } from "../../shared/errors.ts";
import { randomKey } from "../../shared/rng.ts";
import type { AugmentationInputs } from "./cacheKey.ts";
import type { EncoderInput } from "./encoder.ts";

/** How many variants of each sample are made, and how. */
export interface Augmentation {
  readonly variants: number;
  readonly seed: number;
  readonly options: AugmentOptions;
  /** What of it shapes the samples. */
  readonly inputs: AugmentationInputs;
}

/** Reads what the settings say about variants; undefined where there are to be none. Throws CONFIG_INVALID. */
export async function readAugmentation(
  config: Pick<RunConfig, "augment" | "augmentDelete" | "augmentReplace" | "augmentSwap" | "augmentSynonyms" | "seed">,
): Promise<Augmentation | undefined> {
  const { augment: variants, augmentSynonyms, seed } = config;
  if (variants === 0) return undefined;
  const text = augmentSynonyms === undefined ? undefined : await readDictionary(augmentSynonyms);
  const shares = { replace: config.augmentReplace, delete: config.augmentDelete, swap: config.augmentSwap };
  return {
    variants,
    seed,
    options: { ...shares, synonyms: text === undefined ? undefined : parseSynonyms(text, augmentSynonyms!) },
    inputs: {
      variants,
      seed,
      ...shares,
      synonyms: text === undefined ? null : createHash("sha256").update(text, "utf8").digest("hex"),
      icu: process.versions["icu"] ?? "",
    },
  };
}

async function readDictionary(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).replace(/^\ufeff/, "");
  } catch (thrown) {
    throw new CoordError("CONFIG_INVALID", `--augment-synonyms ${path} cannot be read: ${(thrown as Error).message}.`, {
      cause: thrown,
    });
  }
}

/**
 * The variants of the rows that `wanted` answers true for, row by row. `file` and a row's number tell rows apart for the
 * draw, so that a row's variants do not depend on other rows. What comes out unchanged is left out.
 */
export async function* augmentRows(
  rows: AsyncIterable<EncoderInput>,
  file: number,
  { options, seed, variants }: Augmentation,
  wanted: (row: number) => boolean | undefined,
): AsyncGenerator<EncoderInput> {
  let number = 0;
  for await (const row of rows) {
    const at = number++;
    const include = wanted(at);
    if (include === undefined) return;
    if (!include || "problem" in row) continue;
    for (let variant = 0; variant < variants; variant++) {
      const key = randomKey("augment", seed, file, at, variant);
      const conversation = augmentConversation(row.conversation, options, key);
      if (conversation) yield { ...row, where: `${row.where} (variant ${variant + 1})`, conversation };
    }
  }
}
