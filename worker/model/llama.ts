import type { ModelDescription } from "./description.ts";
import { inputNames } from "./description.ts";
import { attention, negativeLogLikelihood, rmsNorm, swiGlu } from "./layers.ts";
import { parseLlamaConfig } from "./llamaConfig.ts";
import { add, gatherRows, input } from "./operations.ts";

/** LlamaForCausalLM of transformers (modeling_llama.py), from the content of its config.json. */
export function describeLlama(content: unknown, path: string): ModelDescription {
  const config = parseLlamaConfig(content, path);
  const { headDim, heads, hiddenSize, keyValueHeads, vocabularySize } = config;
  return {
    vocabularySize,
    inverseFrequencies: config.inverseFrequencies,
    loss(write) {
      const cos = input(inputNames.cos, ["S", headDim / 2]);
      const sin = input(inputNames.sin, ["S", headDim / 2]);
      const mask = input(inputNames.causalMask, ["S", "S"]);
      const embeddings = write.parameter("model.embed_tokens.weight", [vocabularySize, hiddenSize]);
      let hidden = gatherRows(embeddings, input(inputNames.ids, ["T"], "int32")); // [T, hidden]
      for (let layer = 0; layer < config.layers; layer++) {
        const prefix = `model.layers.${layer}`;
        const norm = (name: string) =>
          rmsNorm(hidden, write.parameter(`${prefix}.${name}.weight`, [hiddenSize]), config.epsilon);
        const normed = norm("input_layernorm");
        const project = (name: string, count: number) =>
          write.linear(`${prefix}.self_attn.${name}`, normed, count * headDim, { bias: config.attentionBias });
        const mixed = attention(
          project("q_proj", heads),
          project("k_proj", keyValueHeads),
          project("v_proj", keyValueHeads),
          {
            heads,
            keyValueHeads,
            headDim,
            cos,
            sin,
            mask,
          },
        );
        const output = write.linear(`${prefix}.self_attn.o_proj`, mixed, hiddenSize, { bias: config.attentionBias });
        hidden = add(hidden, output);
        const inner = norm("post_attention_layernorm");
        const bias = config.mlpBias;
        const gate = write.linear(`${prefix}.mlp.gate_proj`, inner, config.intermediateSize, { bias });
        const up = write.linear(`${prefix}.mlp.up_proj`, inner, config.intermediateSize, { bias });
        hidden = add(hidden, write.linear(`${prefix}.mlp.down_proj`, swiGlu(gate, up), hiddenSize, { bias }));
      }
      // Only the rows that predict a label go through the head: with answers alone as labels, that is most of the work saved.
      const rows = gatherRows(hidden, input(inputNames.labelRows, ["L"], "int32"));
      const normed = rmsNorm(rows, write.parameter("model.norm.weight", [hiddenSize]), config.epsilon);
      const head = config.tied ? { tiedTo: "model.embed_tokens.weight" } : {};
      const logits = write.linear("lm_head", normed, vocabularySize, head); // [L, vocabulary]
      return negativeLogLikelihood(logits, input(inputNames.targets, ["L"], "int32"));
    },
  };
}
