import type { GraphWriter, ModelDescription } from "./description.ts";
import { inputNames } from "./description.ts";
import type { Tensor } from "./graph.ts";
import { attention, attentionMask, headNorm, rmsNorm, rotaryInputs, swiGlu } from "./layers.ts";
import { type LlamaConfig, type LlamaFamily, parseLlamaConfig } from "./llamaConfig.ts";
import { add, gatherRows, input } from "./operations.ts";

/**
 * LlamaForCausalLM of transformers (modeling_llama.py) and what differs little from it: Mistral (sliding window),
 * Qwen2 (biases of queries, keys and values) and Qwen3 (norms of query and key heads).
 */
export const describeLlama =
  (family: LlamaFamily) =>
  (content: unknown, path: string): ModelDescription => {
    const config = parseLlamaConfig(content, path, family);
    const { epsilon, hiddenSize, vocabularySize } = config;
    return {
      vocabularySize,
      inverseFrequencies: config.inverseFrequencies,
      slidingWindow: config.slidingWindow,
      loss(write) {
        const table = "model.embed_tokens.weight";
        const ids = input(inputNames.ids, ["T"], "int32");
        let hidden = write.boundary(write.lookUp(table, [vocabularySize, hiddenSize], ids)); // [T, hidden]
        for (let layer = 0; layer < config.layers; layer++) {
          hidden = write.boundary(block(write, config, layer, hidden));
        }
        // Only the rows that predict a label go through the head: with answers alone as labels, that is most of the work saved.
        const rows = gatherRows(hidden, input(inputNames.labelRows, ["L"], "int32"));
        const normed = rmsNorm(rows, write.parameter("model.norm.weight", [hiddenSize]), epsilon);
        return write.headLoss("lm_head", normed, vocabularySize, config.tied ? { tiedTo: table } : {});
      },
    };
  };

/** One layer: [T, hidden] → [T, hidden]. */
function block(write: GraphWriter, config: LlamaConfig, layer: number, hidden: Tensor): Tensor {
  const { epsilon, headDim, heads, hiddenSize, intermediateSize, keyValueHeads } = config;
  const prefix = `model.layers.${layer}`;
  const norm = (name: string, x: Tensor) =>
    rmsNorm(x, write.parameter(`${prefix}.${name}.weight`, [hiddenSize]), epsilon);
  const normed = norm("input_layernorm", hidden);
  const project = (name: string, count: number) =>
    write.linear(`${prefix}.self_attn.${name}`, normed, count * headDim, { bias: config.queryKeyValueBias });
  const perHead = (name: string, x: Tensor, count: number) =>
    config.headNorms
      ? headNorm(x, write.parameter(`${prefix}.self_attn.${name}.weight`, [headDim]), count, epsilon)
      : x;
  const mixed = attention(
    perHead("q_norm", project("q_proj", heads), heads),
    perHead("k_norm", project("k_proj", keyValueHeads), keyValueHeads),
    project("v_proj", keyValueHeads),
    {
      heads,
      keyValueHeads,
      headDim,
      rotary: rotaryInputs(headDim),
      mask: attentionMask(input(config.slides(layer) ? inputNames.slidingMask : inputNames.causalMask, ["S", "S"])),
    },
  );
  const output = write.linear(`${prefix}.self_attn.o_proj`, mixed, hiddenSize, { bias: config.outputBias });
  const between = add(hidden, output);
  const inner = norm("post_attention_layernorm", between);
  const bias = config.mlpBias;
  const gate = write.linear(`${prefix}.mlp.gate_proj`, inner, intermediateSize, { bias });
  const up = write.linear(`${prefix}.mlp.up_proj`, inner, intermediateSize, { bias });
  return add(between, write.linear(`${prefix}.mlp.down_proj`, swiGlu(gate, up), hiddenSize, { bias }));
}
