import { CoordError } from "../../shared/errors.ts";
import type { ModelDescription } from "./description.ts";
import { describeGpt2 } from "./gpt2.ts";
import { describeGptNeoX } from "./gptNeoX.ts";
import { describeLlama } from "./llama.ts";
import { describeOpt } from "./opt.ts";

/** The architectures that can be trained, by the name in config.json's `architectures`. */
const architectures: ReadonlyMap<string, (content: unknown, path: string) => ModelDescription> = new Map([
  ["LlamaForCausalLM", describeLlama("Llama")],
  ["MistralForCausalLM", describeLlama("Mistral")],
  ["Qwen2ForCausalLM", describeLlama("Qwen2")],
  ["Qwen3ForCausalLM", describeLlama("Qwen3")],
  ["GPT2LMHeadModel", describeGpt2],
  ["OPTForCausalLM", describeOpt],
  ["GPTNeoXForCausalLM", describeGptNeoX],
]);

/** The same by `model_type`, for files that name no architecture. */
const modelTypes: ReadonlyMap<unknown, string> = new Map([
  ["llama", "LlamaForCausalLM"],
  ["mistral", "MistralForCausalLM"],
  ["qwen2", "Qwen2ForCausalLM"],
  ["qwen3", "Qwen3ForCausalLM"],
  ["gpt2", "GPT2LMHeadModel"],
  ["opt", "OPTForCausalLM"],
  ["gpt_neox", "GPTNeoXForCausalLM"],
]);

/** From the content of a config.json to a model. Throws CoordError MODEL_INVALID; `path` is for its message. */
export function describeModel(content: unknown, path: string): ModelDescription {
  const object = (typeof content === "object" && content !== null ? content : {}) as Record<string, unknown>;
  const named = Array.isArray(object["architectures"]) ? object["architectures"].map(String) : [];
  const found = named[0] ?? modelTypes.get(object["model_type"]);
  const describe = found === undefined ? undefined : architectures.get(found);
  if (!describe) {
    const known = [...architectures.keys()].join(", ");
    const what = named[0] === undefined ? unnamed(content, object) : `names the architecture ${quote(named[0])}`;
    throw new CoordError("MODEL_INVALID", `${path} ${what}; supported: ${known}. Choose a model of such a kind.`);
  }
  if (object["quantization_config"]) {
    throw new CoordError(
      "MODEL_INVALID",
      `${path} has a quantization_config, and quantized weights cannot be trained on. Use the model's original F32, F16 or BF16 weights.`,
    );
  }
  return describe(content, path);
}

function unnamed(content: unknown, object: Readonly<Record<string, unknown>>): string {
  if (content !== object || Array.isArray(content)) return "does not hold a JSON object";
  const type = object["model_type"];
  return type === undefined ? "names no architecture" : `names the model_type ${quote(type)}`;
}

const quote = (value: unknown) => JSON.stringify(value).slice(0, 100);
