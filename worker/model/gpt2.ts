import { z } from "zod";
import { activate, activationSchema } from "./activations.ts";
import { type GraphWriter, inputNames, type ModelDescription } from "./description.ts";
import { headDimOf, layerCount, parseFamilyConfig, size } from "./familyConfig.ts";
import type { Tensor } from "./graph.ts";
import { attention, attentionMask, layerNorm } from "./layers.ts";
import { add, gatherRows, input, slice } from "./operations.ts";

const family = "GPT-2";

/** The keys of HuggingFace's GPT2Config that shape the computation, with its defaults. */
const schema = z.looseObject({
  vocab_size: size,
  n_positions: size.default(1024),
  n_embd: size,
  n_layer: layerCount,
  n_head: size,
  n_inner: size.nullish(),
  activation_function: activationSchema.default("gelu_new"),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.literal(false, "cross-attention is not supported").default(false),
  tie_word_embeddings: z.boolean().default(true),
});
type Config = z.infer<typeof schema>;

/** GPT2LMHeadModel of transformers (modeling_gpt2.py), whose linear modules have transposed weights (Conv1D). */
export function describeGpt2(content: unknown, path: string): ModelDescription {
  const config = parseFamilyConfig(schema, content, { path, family });
  const { n_embd, n_positions, vocab_size } = config;
  headDimOf(n_embd, config.n_head, path, family);
  return {
    vocabularySize: vocab_size,
    inverseFrequencies: new Float32Array(0),
    learnedPositions: { count: n_positions, firstRow: 0 },
    loss(write) {
      const table = "transformer.wte.weight";
      const embedded = add(
        write.lookUp(table, [vocab_size, n_embd], input(inputNames.ids, ["T"], "int32")),
        write.lookUp("transformer.wpe.weight", [n_positions, n_embd], input(inputNames.positions, ["T"], "int32")),
      );
      let hidden = write.boundary(embedded); // [T, hidden]
      for (let layer = 0; layer < config.n_layer; layer++) {
        hidden = write.boundary(block(write, config, layer, hidden));
      }
      const rows = gatherRows(hidden, input(inputNames.labelRows, ["L"], "int32"));
      const normed = norm(write, config, "transformer.ln_f", rows);
      return write.headLoss("lm_head", normed, vocab_size, config.tie_word_embeddings ? { tiedTo: table } : {});
    },
  };
}

/** One layer: [T, hidden] → [T, hidden]. */
function block(write: GraphWriter, config: Config, layer: number, hidden: Tensor): Tensor {
  const { n_embd, n_head } = config;
  const prefix = `transformer.h.${layer}`;
  const project = (module: string, x: Tensor, outFeatures: number) =>
    write.linear(`${prefix}.${module}`, x, outFeatures, { bias: true, transposed: true });
  const joined = project("attn.c_attn", norm(write, config, `${prefix}.ln_1`, hidden), 3 * n_embd);
  const part = (index: number) => slice(joined, index * n_embd, n_embd);
  const headDim = n_embd / n_head;
  const mixed = attention(part(0), part(1), part(2), {
    heads: n_head,
    keyValueHeads: n_head,
    headDim,
    mask: attentionMask(input(inputNames.causalMask, ["S", "S"])),
    scale:
      (config.scale_attn_weights ? 1 / Math.sqrt(headDim) : 1) /
      (config.scale_attn_by_inverse_layer_idx ? layer + 1 : 1),
  });
  const between = add(hidden, project("attn.c_proj", mixed, n_embd));
  const wide = project("mlp.c_fc", norm(write, config, `${prefix}.ln_2`, between), config.n_inner ?? 4 * n_embd);
  return add(between, project("mlp.c_proj", activate(config.activation_function, wide), n_embd));
}

function norm(write: GraphWriter, { layer_norm_epsilon, n_embd }: Config, name: string, x: Tensor): Tensor {
  const weight = write.parameter(`${name}.weight`, [n_embd]);
  return layerNorm(x, weight, write.parameter(`${name}.bias`, [n_embd]), layer_norm_epsilon);
}
