import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import { type FileSystem, hostFileSystem, requireSpace } from "../checkpoint/fileSystem.ts";
import type { Tensor } from "../checkpoint/flat.ts";
import { loraModules, replacedWeights } from "../checkpoint/loraModules.ts";
import { fillNewDirectory } from "../checkpoint/newDirectory.ts";
import { streamDurably, writeDurably } from "../checkpoint/writeDurably.ts";
import { encodeHeader } from "../tensors/encodeHeader.ts";
import { isPresent, weightsFile } from "../tensors/modelFiles.ts";
import { type BaseModel, openBaseModel } from "./baseModel.ts";
import { mergedPieces } from "./mergedPieces.ts";
import { type FloatType, type MergePlan, planMerge } from "./mergePlan.ts";
import { orientModules } from "./orientation.ts";

export interface MergeOptions {
  /** HuggingFace-format directory of the base model. */
  readonly model: string;
  readonly adapter: { readonly config: AdapterConfig; readonly tensors: ReadonlyMap<string, Tensor> };
  /** Where the adapter is from, for messages. */
  readonly source: string;
  /** The new directory. */
  readonly to: string;
  /** Undefined keeps what each weight has. */
  readonly dtype: FloatType | undefined;
  readonly maxShardBytes: number;
  readonly signal: AbortSignal;
  onProgress?(doneBytes: number, totalBytes: number): void;
  readonly fs?: FileSystem;
}

/** What was written. */
export interface MergeReport {
  readonly files: readonly string[];
  /** Bytes of all weights. */
  readonly bytes: number;
  /** Modules whose weight has changed. */
  readonly modules: number;
}

/** Files of a model directory that are neither weights nor config.json. */
const companions = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "tokenizer.model",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
];

const configDtypes: Readonly<Record<FloatType, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/**
 * Folds an adapter into its base model: W + alpha / r · B · A, written as a new model directory, all or nothing. Goes
 * through the weights in pieces of a few MiB, so memory does not depend on the model's size. Throws MODEL_INVALID,
 * ADAPTER_INVALID, CONFIG_INVALID, STORAGE_FAILED, and the signal's reason.
 */
export async function mergeAdapter(options: MergeOptions): Promise<MergeReport> {
  const { adapter, dtype, maxShardBytes, model, signal, source, to } = options;
  const fs = options.fs ?? hostFileSystem;
  const modules = loraModules(adapter.tensors, adapter.config, source);
  const base = await openBaseModel(model);
  try {
    const replaced = replacedWeights(adapter.tensors, adapter.config);
    const plan = planMerge(base.tensors, orientModules(modules, base.config), { replaced, dtype, maxShardBytes });
    let done = 0;
    await fillNewDirectory(fs, to, async (temporary) => {
      await requireSpace(fs, temporary, plan.totalBytes, `The merged model for ${to}`);
      for (const { file, tensors } of plan.shards) {
        const size = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
        const pieces = async function* () {
          yield encodeHeader(tensors, { format: "pt" });
          for (const tensor of tensors) {
            for await (const piece of mergedPieces(tensor, base.fileOf(tensor.source.name))) {
              signal.throwIfAborted();
              yield piece;
              done += piece.byteLength;
              options.onProgress?.(done, plan.totalBytes);
            }
          }
        };
        await streamDurably(fs, join(temporary, file), pieces(), size);
      }
      if (plan.shards.length > 1) await writeJson(fs, join(temporary, `${weightsFile}.index.json`), indexOf(plan));
      await writeJson(fs, join(temporary, "config.json"), changed(base.config, plan, dtype));
      for (const name of companions) {
        const path = join(model, name);
        if (await isPresent(path)) await writeDurably(fs, join(temporary, name), [await readFile(path)]);
      }
    });
    return {
      files: plan.shards.map(({ file }) => file),
      bytes: plan.totalBytes,
      modules: modules.length + replaced.size,
    };
  } finally {
    await base.close();
  }
}

/** The base model's config.json with what the merge has changed. transformers 5 calls torch_dtype dtype. */
function changed(config: BaseModel["config"], { untied }: MergePlan, dtype: FloatType | undefined): object {
  const key = "dtype" in config ? "dtype" : "torch_dtype";
  return {
    ...config,
    ...(dtype === undefined ? {} : { [key]: configDtypes[dtype] }),
    ...(untied ? { tie_word_embeddings: false } : {}),
  };
}

/** As transformers writes it. */
function indexOf({ shards, totalBytes }: MergePlan): object {
  const places = shards.flatMap(({ file, tensors }) => tensors.map(({ name }) => [name, file] as const));
  return { metadata: { total_size: totalBytes }, weight_map: Object.fromEntries(places) };
}

async function writeJson(fs: FileSystem, path: string, value: object): Promise<void> {
  await writeDurably(fs, path, [new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`)]);
}
