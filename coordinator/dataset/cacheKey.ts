import { createHash } from "node:crypto";
import { namedTemplates } from "../../shared/dataset/templates/namedTemplates.ts";
import { tokenFileVersion } from "../../shared/dataset/tokenFileFormat.ts";
import type { TokenizerFiles } from "../../shared/dataset/tokenizer.ts";
import type { DataKind } from "./reading/dataKind.ts";

/** Raise it when the same inputs give other samples than before: reading, rendering, masking or the hold-out changed. */
const preparationVersion = 3;

/** Libraries that shape the samples, as pinned in package.json. */
export const shapingLibraries = {
  "@huggingface/jinja": "0.5.11",
  "@huggingface/tokenizers": "0.2.0",
  "csv-parse": "7.0.3",
  hyparquet: "1.31.5",
  "hyparquet-compressors": "1.1.2",
};

/** Every input that shapes a token file. What is undefined is not part of the key. */
export interface TokenFileInputs {
  /** SHA-256 of the files in their order, and how each is read. */
  readonly data: readonly DataFingerprint[];
  readonly evalData: readonly DataFingerprint[] | undefined;
  readonly files: TokenizerFiles;
  readonly format: string;
  readonly columns: readonly string[];
  readonly skipBadRows: boolean;
  readonly maxTrainSamples: number | undefined;
  readonly maxEvalSamples: number | undefined;
  readonly chatTemplate: string;
  readonly maxLength: number;
  readonly longSamples: string;
  readonly truncationSide: string;
  readonly trainOnInputs: boolean;
  /** How variants are made; absent without any. */
  readonly augmentation?: AugmentationInputs | undefined;
  /** Fraction and seed of the hold-out; absent without one. */
  readonly holdOut: { readonly fraction: number; readonly seed: number } | undefined;
}

export interface AugmentationInputs {
  readonly variants: number;
  readonly seed: number;
  readonly replace: number;
  readonly delete: number;
  readonly swap: number;
  /** SHA-256 of the dictionary, null without one. */
  readonly synonyms: string | null;
  /** Version of the tables by which words are told apart. */
  readonly icu: string;
}

export interface DataFingerprint {
  readonly sha256: string;
  readonly kind: DataKind;
}

/** The name under which a token file is looked up: a hash of every input that shaped it. Paths are not among them. */
export function cacheKey(inputs: TokenFileInputs): string {
  const { files, ...options } = inputs;
  const shape = {
    ...options,
    tokenFileVersion,
    preparationVersion,
    shapingLibraries,
    namedTemplate: namedTemplates.get(inputs.chatTemplate) ?? null,
    tokenizer: sha256(files.tokenizer),
    tokenizerConfig: sha256(files.config),
    ownTemplate: sha256(files.chatTemplate),
  };
  return createHash("sha256").update(canonical(shape)).digest("hex");
}

function sha256(text: string | undefined): string | null {
  return text === undefined ? null : createHash("sha256").update(text, "utf8").digest("hex");
}

/** JSON with sorted keys, so that the order in which an object was put together does not matter. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
