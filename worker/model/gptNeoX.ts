import { z } from "zod";
import { activate, activationSchema } from "./activations.ts";
import { type GraphWriter, inputNames, type ModelDescription } from "./description.ts";
import { headDimOf, layerCount, parseFamilyConfig, size, unsupported } from "./familyConfig.ts";
import type { Tensor } from "./graph.ts";
import { attention, attentionMask, layerNorm, rotaryInputs } from "./layers.ts";
import { add, gatherRows, input, reshape, slice } from "./operations.ts";
import { inverseFrequencies, rotarySchema } from "./rotary.ts";

const family = "GPT-NeoX";

/** The keys of HuggingFace's GPTNeoXConfig that shape the computation, with its defaults. */
const schema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: layerCount,
  num_attention_heads: size,
  hidden_act: activationSchema.default("gelu"),
  rotary_pct: z.number().positive().max(1).default(0.25),
  rotary_emb_base: z.number().positive().default(10_000),
  rope_scaling: rotarySchema.nullish(),
  /** What newer files have in place of the three above. */
  rope_parameters: rotarySchema.nullish(),
  layer_norm_eps: z.number().positive().default(1e-5),
  use_parallel_residual: z.boolean().default(true),
  attention_bias: z.boolean().default(true),
  tie_word_embeddings: z.boolean().default(false),
});
type Config = z.infer<typeof schema> & { headDim: number; rotated: number };

/** GPTNeoXForCausalLM of transformers (modeling_gpt_neox.py): Pythia is one. */
export function describeGptNeoX(content: unknown, path: string): ModelDescription {
  const raw = parseFamilyConfig(schema, content, { path, family });
  const { hidden_size, rope_parameters, vocab_size } = raw;
  const headDim = headDimOf(hidden_size, raw.num_attention_heads, path, family);
  const rotated = Math.trunc(headDim * (rope_parameters?.partial_rotary_factor ?? raw.rotary_pct));
  const config = { ...raw, headDim, rotated };
  const theta = rope_parameters?.rope_theta ?? raw.rotary_emb_base;
  const scaling = rope_parameters ?? raw.rope_scaling ?? {};
  return {
    vocabularySize: vocab_size,
    inverseFrequencies: inverseFrequencies(rotated, theta, scaling, (problem) => unsupported(path, family, problem)),
    loss(write) {
      const table = "gpt_neox.embed_in.weight";
      const ids = input(inputNames.ids, ["T"], "int32");
      let hidden = write.boundary(write.lookUp(table, [vocab_size, hidden_size], ids)); // [T, hidden]
      for (let layer = 0; layer < config.num_hidden_layers; layer++) {
        hidden = write.boundary(block(write, config, layer, hidden));
      }
      const rows = gatherRows(hidden, input(inputNames.labelRows, ["L"], "int32"));
      const normed = norm(write, config, "gpt_neox.final_layer_norm", rows);
      return write.headLoss("lm_head", normed, vocab_size, config.tie_word_embeddings ? { tiedTo: table } : {});
    },
  };
}

/** One layer: [T, hidden] → [T, hidden]. */
function block(write: GraphWriter, config: Config, layer: number, hidden: Tensor): Tensor {
  const { hidden_size, use_parallel_residual } = config;
  const prefix = `gpt_neox.layers.${layer}`;
  const mixed = mix(write, config, prefix, norm(write, config, `${prefix}.input_layernorm`, hidden));
  const attended = add(hidden, mixed);
  const source = use_parallel_residual ? hidden : attended;
  const inner = norm(write, config, `${prefix}.post_attention_layernorm`, source);
  const wide = write.linear(`${prefix}.mlp.dense_h_to_4h`, inner, config.intermediate_size, { bias: true });
  const activated = activate(config.hidden_act, wide);
  return add(attended, write.linear(`${prefix}.mlp.dense_4h_to_h`, activated, hidden_size, { bias: true }));
}

/** Attention, whose queries, keys and values come head by head from one module. */
function mix(write: GraphWriter, config: Config, prefix: string, x: Tensor): Tensor {
  const { attention_bias: bias, headDim, hidden_size, num_attention_heads: heads, rotated } = config;
  const joined = write.linear(`${prefix}.attention.query_key_value`, x, 3 * hidden_size, { bias });
  const byHead = reshape(joined, ["T", heads, 3 * headDim]);
  const part = (index: number) => reshape(slice(byHead, index * headDim, headDim), ["T", hidden_size]);
  const mixed = attention(part(0), part(1), part(2), {
    heads,
    keyValueHeads: heads,
    headDim,
    rotary: rotaryInputs(rotated),
    mask: attentionMask(input(inputNames.causalMask, ["S", "S"])),
  });
  return write.linear(`${prefix}.attention.dense`, mixed, hidden_size, { bias });
}

function norm(write: GraphWriter, { hidden_size, layer_norm_eps }: Config, name: string, x: Tensor): Tensor {
  const parameter = (part: string) => write.parameter(`${name}.${part}`, [hidden_size]);
  return layerNorm(x, parameter("weight"), parameter("bias"), layer_norm_eps);
}
