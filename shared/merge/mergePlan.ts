import type { Tensor } from "../checkpoint/flat.ts";
import { type LoraModule, weightOf } from "../checkpoint/loraModules.ts";
import { CoordError } from "../errors.ts";
import { bitsPerElement } from "../tensors/dtype.ts";
import { elementCount } from "../tensors/layout.ts";

/** The element types that can be computed with. */
export const floatTypes = ["F32", "F16", "BF16"] as const;
export type FloatType = (typeof floatTypes)[number];

/** One tensor of the base model. */
export interface BaseTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** One tensor of the merged model. */
export interface MergedTensor extends BaseTensor {
  readonly bytes: number;
  /** The base tensor that its values come from. */
  readonly source: BaseTensor;
  /** What is added to it. */
  readonly lora?: LoraModule;
  /** What stands in its place. */
  readonly replacement?: Tensor;
}

export interface MergePlan {
  /** The files in order; each has at least one tensor. */
  readonly shards: readonly { readonly file: string; readonly tensors: readonly MergedTensor[] }[];
  /** Bytes of all tensors. */
  readonly totalBytes: number;
  /** The output head shared the embedding's weight and has its own now. */
  readonly untied: boolean;
}

export interface MergePlanOptions {
  /** Undefined keeps what each weight has. */
  readonly dtype: FloatType | undefined;
  readonly maxShardBytes: number;
  /** Weights that the adapter has its own of, by their names in the model. */
  readonly replaced?: ReadonlyMap<string, Tensor>;
}

const head = "lm_head";
/** Names of its weight. */
const heads = ["lm_head.weight", "embed_out.weight"];
/** Names, by family, of the embedding that an output head may share. */
const embeddings = ["model.embed_tokens.weight", "transformer.wte.weight", "model.decoder.embed_tokens.weight"];
/** Files that were saved from a model without its output head lack the first part of each name. */
const prefixes = ["", "model.", "transformer.", "gpt_neox."];

/**
 * Decides what the merged model consists of: the base's tensors in the base's order, with an adapter where `modules`
 * has one, in files of at most `maxShardBytes` (a larger tensor has a file of its own). `dtype` undefined keeps each
 * tensor's own. Throws ADAPTER_INVALID where the adapter does not fit, MODEL_INVALID where weights cannot be added to.
 */
export function planMerge(
  base: readonly BaseTensor[],
  modules: readonly LoraModule[],
  { dtype, maxShardBytes, replaced = new Map() }: MergePlanOptions,
): MergePlan {
  const adapters = new Map(modules.map((lora) => [weightOf(lora.module), lora]));
  const used = new Set<LoraModule>();
  const left = new Set(replaced.keys());
  const merged = base.map((source) => {
    const name = fullNames(source.name).find((full) => replaced.has(full));
    if (name !== undefined) {
      left.delete(name);
      return replacing(source, source.name, replaced.get(name)!, dtype);
    }
    const lora = fullNames(source.name)
      .map((name) => adapters.get(name))
      .find((found) => found !== undefined);
    if (lora) used.add(lora);
    return mergedTensor(source, source.name, lora, dtype);
  });
  const tied = base.find(({ name }) => fullNames(name).some((full) => embeddings.includes(full)));
  const headAdapter = adapters.get(weightOf(head));
  const headWeight = left.has(weightOf(head)) ? replaced.get(weightOf(head)) : undefined;
  const hasHead = base.some(({ name }) => heads.includes(name));
  const newEmbedding = tied !== undefined && fullNames(tied.name).some((full) => replaced.has(full));
  const apart = headWeight !== undefined || (headAdapter !== undefined && !used.has(headAdapter)) || newEmbedding;
  const untied = tied !== undefined && !hasHead && apart;
  if (untied) {
    // What changes the shared matrix for one of the two would change it for the other.
    if (headWeight) merged.push(replacing(tied, weightOf(head), headWeight, dtype));
    else merged.push(mergedTensor(tied, weightOf(head), headAdapter, dtype));
    left.delete(weightOf(head));
    if (headAdapter) used.add(headAdapter);
  }
  const unused = modules.find((lora) => !used.has(lora));
  const missing = unused ? weightOf(unused.module) : [...left][0];
  if (missing !== undefined) {
    throw new CoordError(
      "ADAPTER_INVALID",
      `The adapter changes ${missing}, which the base model has not; name the model it was trained on with --model.`,
    );
  }
  const groups = intoGroups(merged, maxShardBytes);
  return {
    shards: groups.map((tensors, index) => ({ file: fileName(index, groups.length), tensors })),
    totalBytes: merged.reduce((sum, { bytes }) => sum + bytes, 0),
    untied,
  };
}

function replacing(source: BaseTensor, name: string, replacement: Tensor, wanted: FloatType | undefined): MergedTensor {
  if (source.shape.join() !== replacement.shape.join()) {
    throw new CoordError(
      "ADAPTER_INVALID",
      `The adapter has its own ${name} of shape [${replacement.shape}], but the base model's has [${source.shape}]; name the model it was trained on with --model.`,
    );
  }
  return { ...mergedTensor(source, name, undefined, wanted), replacement };
}

/** The names that a weight of a file may have in the whole model. */
function fullNames(name: string): string[] {
  return prefixes.map((prefix) => prefix + name);
}

function mergedTensor(
  source: BaseTensor,
  name: string,
  lora: LoraModule | undefined,
  wanted: FloatType | undefined,
): MergedTensor {
  const isFloat = (floatTypes as readonly string[]).includes(source.dtype);
  if (lora) {
    if (!isFloat) {
      throw new CoordError(
        "MODEL_INVALID",
        `${source.name} of the base model has dtype ${source.dtype}: an adapter can be merged into F32, F16 and BF16 weights only; name the original model with --model.`,
      );
    }
    const [out, into] = [lora.up.shape[0], lora.down.shape[1]];
    if (source.shape.length !== 2 || source.shape[0] !== out || source.shape[1] !== into) {
      throw new CoordError(
        "ADAPTER_INVALID",
        `The adapter of ${lora.module} is for a weight of shape [${out},${into}], but the base model's has [${source.shape}]; name the model it was trained on with --model.`,
      );
    }
  }
  const dtype = isFloat && wanted !== undefined ? wanted : source.dtype;
  const bytes = (elementCount(source.shape) * bitsPerElement(dtype)!) / 8;
  return { name, dtype, shape: source.shape, bytes, source, ...(lora ? { lora } : {}) };
}

function intoGroups(tensors: readonly MergedTensor[], maxBytes: number): MergedTensor[][] {
  const groups: MergedTensor[][] = [];
  let room = -1;
  for (const tensor of tensors) {
    if (tensor.bytes > room) {
      groups.push([]);
      room = maxBytes;
    }
    groups.at(-1)!.push(tensor);
    room -= tensor.bytes;
  }
  return groups;
}

/** As transformers names them: `model.safetensors`, or `model-00001-of-00003.safetensors`. */
function fileName(index: number, count: number): string {
  const five = (value: number) => String(value).padStart(5, "0");
  return count === 1 ? "model.safetensors" : `model-${five(index + 1)}-of-${five(count)}.safetensors`;
}
