import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { nearestName } from "../config/nearestName.ts";
import { CoordError } from "../errors.ts";
import { asWritten, callsTools, type Message } from "./conversation.ts";
import { field, isRow } from "./formats/rowFormat.ts";
import { namedTemplates } from "./templates/namedTemplates.ts";
import type { TextTokenizer, TokenizerFiles } from "./tokenizer.ts";

/** A chat template's text, and where it comes from, for messages. */
export interface TemplateSource {
  /** "the template vicuna", "chat_template.jinja in DIR" */
  readonly origin: string;
  readonly text: string;
  readonly named: boolean;
}

/**
 * The chat template to use: a named one, or for "auto" the tokenizer's own, where chat_template.jinja goes before
 * tokenizer_config.json as in `transformers`. Undefined when the tokenizer has none. Throws TEMPLATE_INVALID.
 */
export function findChatTemplate(
  name: string,
  files: TokenizerFiles,
  tokenizer: Pick<TextTokenizer, "config">,
): TemplateSource | undefined {
  if (name !== "auto") {
    const text = namedTemplates.get(name);
    if (text !== undefined) return { origin: `the template ${name}`, text, named: true };
    const near = nearestName(name, [...namedTemplates.keys()]);
    throw new CoordError(
      "TEMPLATE_INVALID",
      `There is no chat template ${JSON.stringify(name)}${near === undefined ? "" : ` (did you mean ${near}?)`}; known: auto, ${[...namedTemplates.keys()].join(", ")}.`,
    );
  }
  if (files.chatTemplate !== undefined) {
    return { origin: `chat_template.jinja in ${files.directory}`, text: files.chatTemplate, named: false };
  }
  const origin = `the chat_template of tokenizer_config.json in ${files.directory}`;
  const own = field(tokenizer.config, "chat_template");
  if (own === undefined || own === null) return undefined;
  if (typeof own === "string") return { origin, text: own, named: false };
  const text = Array.isArray(own)
    ? own.filter(isRow).find((one) => one["name"] === "default")?.["template"]
    : undefined;
  if (typeof text === "string") return { origin, text, named: false };
  throw new CoordError("TEMPLATE_INVALID", `In ${origin} there is neither a text nor one of the name "default".`);
}

/** Renders messages; `addGenerationPrompt` ends the text where the assistant would begin to speak. */
export type RenderChat = (
  messages: readonly Message[],
  addGenerationPrompt: boolean,
  tools?: readonly unknown[],
) => string;

/** Compiles a template. Throws TEMPLATE_INVALID; rendering throws whatever the template raises, to be given a place. */
export function compileChatTemplate(source: TemplateSource, tokenizer: TextTokenizer): RenderChat {
  let template: Template;
  try {
    template = new Template(source.text);
  } catch (thrown) {
    throw new CoordError("TEMPLATE_INVALID", `${source.origin} cannot be compiled: ${(thrown as Error).message}.`, {
      cause: thrown,
    });
  }
  const tokens = source.named ? namedTokens(tokenizer) : tokenizer.specialTokens;
  const shared = new Environment();
  for (const [name, value] of Object.entries({ ...globals, ...tokens })) shared.set(name, value);
  return (messages, addGenerationPrompt, tools) => {
    if (!/\btool_calls\b/.test(source.text) && messages.some(callsTools)) {
      throw new Error("it does not write calls of tools, which the row has; choose one that does");
    }
    if (tools && !/\btools\b/.test(source.text)) {
      throw new Error("it does not write descriptions of tools, which the row has; choose one that does");
    }
    const environment = new Environment(shared);
    if (tools) environment.set("tools", tools);
    environment.set("messages", messages.map(asWritten));
    environment.set("add_generation_prompt", addGenerationPrompt);
    const result: unknown = new Interpreter(environment).run(template.parsed).value;
    return String(result);
  };
}

function namedTokens({ specialTokens, addsBos }: TextTokenizer): Record<string, unknown> {
  return {
    ...specialTokens,
    bos_token: addsBos ? specialTokens["bos_token"] : "",
    eos_token: specialTokens["eos_token"] ?? "",
  };
}

/** What `transformers` puts beside the messages. `tools` and `documents` are none, as there by default. */
const globals: Record<string, unknown> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  tools: null,
  documents: null,
  range: (start: number, stop?: number, step = 1) => {
    const [from, to] = stop === undefined ? [0, start] : [start, stop];
    return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, index) => from + index * step);
  },
  raise_exception: (message: unknown) => {
    throw new Error(String(message));
  },
  strftime_now: (format: string) => format.replace(/%([YmdbBHMS%])/g, (_, letter: string) => frozenDate[letter]!),
};

/**
 * Some templates write today's date into the prompt; samples must not depend on the day they were made. This is the
 * date that Llama 3.1's template falls back to.
 */
const frozenDate: Readonly<Record<string, string>> = {
  Y: "2024",
  m: "07",
  d: "26",
  b: "Jul",
  B: "July",
  H: "00",
  M: "00",
  S: "00",
  "%": "%",
};
