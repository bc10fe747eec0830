import { CoordError } from "../errors.ts";
import { alignTokens } from "./alignTokens.ts";
import type { RenderChat } from "./chatTemplate.ts";
import type { Conversation, Message } from "./conversation.ts";
import { locateAnswer } from "./locateAnswer.ts";
import type { TextTokenizer } from "./tokenizer.ts";

/** Token ids and, beside each, 1 where it is a label and 0 where it is masked. */
export interface EncodedSample {
  readonly ids: Uint32Array;
  readonly mask: Uint8Array;
  /** True when tokens beyond `maxLength` were cut. */
  readonly truncated: boolean;
}

/** Why a conversation gives no sample: nothing to learn in it, or all of that lies beyond `maxLength`. */
export type Dropped = "unlabelled" | "cut";

export interface EncodeOptions {
  readonly tokenizer: TextTokenizer;
  /** Absent where the tokenizer has no chat template; plain text needs none. */
  readonly render: RenderChat | undefined;
  /** Where the template comes from, for messages. */
  readonly templateOrigin: string;
  readonly maxLength: number;
  readonly trainOnInputs: boolean;
}

/**
 * Turns a conversation into tokens and label mask. A dialogue is rendered once, tokenized once as a whole, and the labels
 * are the tokens that hold at least one byte of an answer or of the end token that closes it, so the ids are those of the
 * rendered text whatever the mask. `where` is "FILE, line N". Throws TEMPLATE_INVALID.
 */
export function encodeSample(
  conversation: Conversation,
  options: EncodeOptions,
  where: string,
): EncodedSample | Dropped {
  const { ids, mask } =
    "text" in conversation
      ? encodeText(conversation.text, options.tokenizer)
      : encodeMessages(conversation.messages, options, where);
  return fitSample(Uint32Array.from(ids), mask, options.maxLength);
}

/** Cuts a sample to `maxLength` tokens, or says why nothing is left to learn. */
export function fitSample(ids: Uint32Array, mask: Uint8Array, maxLength: number): EncodedSample | Dropped {
  const kept = Math.min(ids.length, maxLength);
  if (!hasLabel(mask, mask.length)) return "unlabelled";
  if (!hasLabel(mask, kept)) return "cut";
  // Copies, because a view would carry the whole sample along when it is sent.
  return { ids: ids.slice(0, kept), mask: mask.slice(0, kept), truncated: kept < ids.length };
}

/** The first token is predicted from nothing, so a label there does not count. */
function hasLabel(mask: Uint8Array, length: number): boolean {
  const first = mask.indexOf(1, 1);
  return first > 0 && first < length;
}

/** The tokenizer's own special tokens around the text, and its end token where it adds none. */
function encodeText(text: string, tokenizer: TextTokenizer): { ids: number[]; mask: Uint8Array } {
  if (text.trim() === "") return { ids: [], mask: new Uint8Array(0) };
  const { ids } = tokenizer.encode(text, true);
  if (tokenizer.eosId !== undefined && ids.at(-1) !== tokenizer.eosId) ids.push(tokenizer.eosId);
  return { ids, mask: new Uint8Array(ids.length).fill(1) };
}

function encodeMessages(
  messages: readonly Message[],
  options: EncodeOptions,
  where: string,
): { ids: number[]; mask: Uint8Array } {
  const answers = messages.flatMap((message, index) => (isAnswer(message) ? [index] : []));
  if (messages.length === 0 || (answers.length === 0 && !options.trainOnInputs)) {
    return { ids: [], mask: new Uint8Array(0) };
  }
  const render = renderAt(options, where);
  const text = render(messages, false);
  // The template writes the special tokens, so the tokenizer adds none.
  const { ids, tokens } = options.tokenizer.encode(text, false);
  const mask = new Uint8Array(ids.length);
  if (options.trainOnInputs) return { ids, mask: mask.fill(1) };

  const ends = alignTokens(Buffer.from(text, "utf8"), tokens.map(options.tokenizer.tokenBytes));
  for (const index of answers) {
    const place = locateAnswer(messages, index, text, render);
    if (place === undefined) {
      throw new CoordError(
        "TEMPLATE_INVALID",
        `${where}: ${options.templateOrigin} writes the text before message ${index + 1} in another way when more messages follow, so it does not tell which tokens are the answer; choose another with --chat-template, or --train-on-inputs.`,
      );
    }
    const [first, last] =
      ends === undefined
        ? [place.start, place.end].map((end) => countShared(ids, text.slice(0, end), options.tokenizer))
        : tokensBetween(ends, bytesBefore(text, place.start), bytesBefore(text, place.end));
    mask.fill(1, first, endOfAnswer(ids, tokens, first!, last!, place.wordsOnly, options.tokenizer));
  }
  return { ids, mask };
}

function isAnswer(message: Message): boolean {
  return message.role === "assistant" && message.content.trim() !== "";
}

function renderAt({ render, templateOrigin }: EncodeOptions, where: string): RenderChat {
  if (render === undefined) {
    throw new CoordError(
      "TEMPLATE_INVALID",
      `${where}: the row is a dialogue, but the tokenizer has no chat template; name one with --chat-template.`,
    );
  }
  return (messages, addGenerationPrompt) => {
    try {
      return render(messages, addGenerationPrompt);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      throw new CoordError("TEMPLATE_INVALID", `${where}: ${templateOrigin} fails on this row: ${reason}.`, {
        cause: thrown,
      });
    }
  };
}

function bytesBefore(text: string, end: number): number {
  return Buffer.byteLength(text.slice(0, end), "utf8");
}

/** The range of tokens that have a byte in `[start, end)`, given where each token ends. */
function tokensBetween(ends: readonly number[], start: number, end: number): [number, number] {
  let first = ends.findIndex((tokenEnd) => tokenEnd > start);
  if (first < 0) first = ends.length;
  let last = first;
  while (last < ends.length && (last === 0 ? 0 : ends[last - 1]!) < end) last++;
  return [first, last];
}

/** For tokenizers whose tokens do not spell the text: how many leading tokens `prefix` alone has in common with it. */
function countShared(ids: readonly number[], prefix: string, tokenizer: TextTokenizer): number {
  const own = tokenizer.encode(prefix, false).ids;
  let shared = 0;
  while (shared < own.length && own[shared] === ids[shared]) shared++;
  return shared;
}

/** The answer ends with its end token: white space that the template puts behind that is not the model's to write. */
function endOfAnswer(
  ids: readonly number[],
  tokens: readonly string[],
  first: number,
  last: number,
  wordsOnly: boolean,
  tokenizer: TextTokenizer,
): number {
  if (wordsOnly) return ids[last] === tokenizer.eosId ? last + 1 : last;
  let end = last;
  while (
    end > first &&
    tokenizer
      .tokenBytes(tokens[end - 1]!)
      ?.toString("utf8")
      .trim() === ""
  )
    end--;
  const closes = end > first && (tokenizer.isSpecial(ids[end - 1]!) || ids[end - 1] === tokenizer.eosId);
  return closes ? end : last;
}
