import { z } from "zod";
import { activate, activationSchema } from "./activations.ts";
import { type GraphWriter, inputNames, type ModelDescription } from "./description.ts";
import { headDimOf, layerCount, parseFamilyConfig, size } from "./familyConfig.ts";
import type { Tensor } from "./graph.ts";
import { attention, attentionMask, layerNorm } from "./layers.ts";
import { add, gatherRows, input } from "./operations.ts";

const family = "OPT";

/** The keys of HuggingFace's OPTConfig that shape the computation, with its defaults. */
const schema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  num_hidden_layers: layerCount,
  num_attention_heads: size,
  ffn_dim: size,
  max_position_embeddings: size.default(2048),
  do_layer_norm_before: z.boolean().default(true),
  _remove_final_layer_norm: z.boolean().default(false),
  word_embed_proj_dim: size.nullish(),
  activation_function: activationSchema.default("relu"),
  enable_bias: z.boolean().default(true),
  layer_norm_elementwise_affine: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(true),
});
type Config = z.infer<typeof schema>;

/** Rows in front of the first position's in the table: fairseq's padding. */
const firstRow = 2;
/** PyTorch's default, which OPT has no key for. */
const epsilon = 1e-5;

/** OPTForCausalLM of transformers (modeling_opt.py), with the norms before or, in the 350m, after each part. */
export function describeOpt(content: unknown, path: string): ModelDescription {
  const config = parseFamilyConfig(schema, content, { path, family });
  const { hidden_size, max_position_embeddings, vocab_size } = config;
  const embeddingSize = config.word_embed_proj_dim ?? hidden_size;
  headDimOf(hidden_size, config.num_attention_heads, path, family);
  return {
    vocabularySize: vocab_size,
    inverseFrequencies: new Float32Array(0),
    learnedPositions: { count: max_position_embeddings, firstRow },
    loss(write) {
      const table = "model.decoder.embed_tokens.weight";
      let hidden = write.lookUp(table, [vocab_size, embeddingSize], input(inputNames.ids, ["T"], "int32"));
      if (embeddingSize !== hidden_size) hidden = write.linear("model.decoder.project_in", hidden, hidden_size);
      const places = write.lookUp(
        "model.decoder.embed_positions.weight",
        [max_position_embeddings + firstRow, hidden_size],
        input(inputNames.positions, ["T"], "int32"),
      );
      hidden = write.boundary(add(hidden, places)); // [T, hidden]
      for (let layer = 0; layer < config.num_hidden_layers; layer++) {
        hidden = write.boundary(block(write, config, layer, hidden));
      }
      let rows = gatherRows(hidden, input(inputNames.labelRows, ["L"], "int32"));
      if (config.do_layer_norm_before && !config._remove_final_layer_norm) {
        rows = norm(write, config, "model.decoder.final_layer_norm", rows);
      }
      if (embeddingSize !== hidden_size) rows = write.linear("model.decoder.project_out", rows, embeddingSize);
      return write.headLoss("lm_head", rows, vocab_size, config.tie_word_embeddings ? { tiedTo: table } : {});
    },
  };
}

/** One layer: [T, hidden] → [T, hidden]. */
function block(write: GraphWriter, config: Config, layer: number, hidden: Tensor): Tensor {
  const { do_layer_norm_before, enable_bias: bias, hidden_size, num_attention_heads } = config;
  const prefix = `model.decoder.layers.${layer}`;
  const before = (name: string, x: Tensor) => (do_layer_norm_before ? norm(write, config, `${prefix}.${name}`, x) : x);
  const after = (name: string, x: Tensor) => (do_layer_norm_before ? x : norm(write, config, `${prefix}.${name}`, x));
  const project = (module: string, x: Tensor, outFeatures: number) =>
    write.linear(`${prefix}.${module}`, x, outFeatures, { bias });
  const normed = before("self_attn_layer_norm", hidden);
  const part = (name: string) => project(`self_attn.${name}`, normed, hidden_size);
  const mixed = attention(part("q_proj"), part("k_proj"), part("v_proj"), {
    heads: num_attention_heads,
    keyValueHeads: num_attention_heads,
    headDim: hidden_size / num_attention_heads,
    mask: attentionMask(input(inputNames.causalMask, ["S", "S"])),
  });
  const between = after("self_attn_layer_norm", add(hidden, project("self_attn.out_proj", mixed, hidden_size)));
  const wide = project("fc1", before("final_layer_norm", between), config.ffn_dim);
  const narrow = project("fc2", activate(config.activation_function, wide), hidden_size);
  return after("final_layer_norm", add(between, narrow));
}

function norm(write: GraphWriter, config: Config, name: string, x: Tensor): Tensor {
  if (!config.layer_norm_elementwise_affine) return layerNorm(x, undefined, undefined, epsilon);
  const parameter = (part: string) => write.parameter(`${name}.${part}`, [config.hidden_size]);
  return layerNorm(x, parameter("weight"), parameter("bias"), epsilon);
}
