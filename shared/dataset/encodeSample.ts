import { CoordError } from "../errors.ts";
import { alignTokens } from "./alignTokens.ts";
import type { RenderChat } from "./chatTemplate.ts";
import { type Conversation, callsTools, type Dialogue, type Message } from "./conversation.ts";
import { locateAnswer } from "./locateAnswer.ts";
import type { EncodedTokens, TextTokenizer } from "./tokenizer.ts";

/** Token ids and, beside each, 1 where it is a label and 0 where it is masked. */
export interface EncodedSample {
  readonly ids: Uint32Array;
  readonly mask: Uint8Array;
  /** Tokens that were cut away. */
  readonly cutTokens: number;
}

/** Why a conversation gives no sample: nothing to learn in it, all of that was cut away, or longer than is wanted. */
export type Dropped = "unlabelled" | "cut" | "tooLong";

/** What becomes of samples that are too long. */
export interface LengthLimit {
  readonly maxLength: number;
  /** "truncate" unless given. */
  readonly longSamples?: "truncate" | "drop" | "error";
  /** Where they are cut; "right" unless given. */
  readonly truncationSide?: "right" | "left";
}

export interface EncodeOptions extends LengthLimit {
  readonly tokenizer: TextTokenizer;
  /** Absent where the tokenizer has no chat template; plain text needs none. */
  readonly render: RenderChat | undefined;
  /** Where the template comes from, for messages. */
  readonly templateOrigin: string;
  readonly trainOnInputs: boolean;
}

/**
 * Turns a conversation into tokens and label mask. A dialogue is rendered once, tokenized once as a whole, and the labels
 * are the tokens that hold at least one byte of an answer or of the end token that closes it, so the ids are those of the
 * rendered text whatever the mask. `where` is "FILE, line N". Throws TEMPLATE_INVALID, and DATA_INVALID for a sample that
 * is too long where that is an error.
 */
export function encodeSample(
  conversation: Conversation,
  options: EncodeOptions,
  where: string,
): EncodedSample | Dropped {
  const { ids, mask } =
    "text" in conversation
      ? encodeText(conversation.text, options.tokenizer)
      : encodeMessages(conversation, options, where);
  return fitSample({ ids: ids instanceof Uint32Array ? ids : new Uint32Array(ids), mask }, options, where);
}

/** Cuts a sample to the length wanted, or says why there is none. Throws as encodeSample does. */
export function fitSample(
  { ids, mask }: Pick<EncodedSample, "ids" | "mask">,
  { longSamples = "truncate", maxLength, truncationSide = "right" }: LengthLimit,
  where: string,
): EncodedSample | Dropped {
  if (!hasLabel(mask)) return "unlabelled";
  const cutTokens = Math.max(0, ids.length - maxLength);
  if (cutTokens === 0) return { ids, mask, cutTokens };
  if (longSamples === "drop") return "tooLong";
  if (longSamples === "error") {
    throw new CoordError(
      "DATA_INVALID",
      `${where}: the sample has ${ids.length} tokens, more than --max-length ${maxLength}; raise that, or choose --long-samples truncate or drop.`,
    );
  }
  // Copies, because a view would carry the whole sample along when it is sent.
  const [start, end] = truncationSide === "right" ? [0, maxLength] : [cutTokens, ids.length];
  const kept = { ids: ids.slice(start, end), mask: mask.slice(start, end), cutTokens };
  return hasLabel(kept.mask) ? kept : "cut";
}

/** The first token is predicted from nothing, so a label there does not count. */
function hasLabel(mask: Uint8Array): boolean {
  return mask.indexOf(1, 1) > 0;
}

interface Masked {
  readonly ids: ArrayLike<number>;
  readonly mask: Uint8Array;
}

/** The tokenizer's own special tokens around the text, and its end token where it adds none. */
function encodeText(text: string, tokenizer: TextTokenizer): Masked {
  if (text.trim() === "") return { ids: [], mask: new Uint8Array(0) };
  const ids = Array.from(tokenizer.encode(text, true).ids);
  if (tokenizer.eosId !== undefined && ids.at(-1) !== tokenizer.eosId) ids.push(tokenizer.eosId);
  return { ids, mask: new Uint8Array(ids.length).fill(1) };
}

function encodeMessages({ messages, tools }: Dialogue, options: EncodeOptions, where: string): Masked {
  const answers = messages.flatMap((message, index) => (isAnswer(message) ? [index] : []));
  if (messages.length === 0 || (answers.length === 0 && !options.trainOnInputs)) {
    return { ids: [], mask: new Uint8Array(0) };
  }
  const render = renderAt(options, tools, where);
  const text = render(messages, false);
  // The template writes the special tokens, so the tokenizer adds none.
  const encoded = options.tokenizer.encode(text, false);
  const { ids } = encoded;
  const mask = new Uint8Array(ids.length);
  if (options.trainOnInputs) return { ids, mask: mask.fill(1) };

  const { ends = alignTokens(Buffer.from(text, "utf8"), encoded.tokens.map(options.tokenizer.tokenBytes)) } = encoded;
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
    mask.fill(1, first, endOfAnswer(encoded, first!, last!, place.wordsOnly, options.tokenizer));
  }
  return { ids, mask };
}

function isAnswer(message: Message): boolean {
  return message.role === "assistant" && (message.content.trim() !== "" || callsTools(message));
}

function renderAt({ render, templateOrigin }: EncodeOptions, tools: Dialogue["tools"], where: string): RenderChat {
  if (render === undefined) {
    throw new CoordError(
      "TEMPLATE_INVALID",
      `${where}: the row is a dialogue, but the tokenizer has no chat template; name one with --chat-template.`,
    );
  }
  return (messages, addGenerationPrompt) => {
    try {
      return render(messages, addGenerationPrompt, tools);
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
function tokensBetween(ends: ArrayLike<number>, start: number, end: number): [number, number] {
  let first = 0;
  while (first < ends.length && ends[first]! <= start) first++;
  let last = first;
  while (last < ends.length && (last === 0 ? 0 : ends[last - 1]!) < end) last++;
  return [first, last];
}

/** For tokenizers whose tokens do not spell the text: how many leading tokens `prefix` alone has in common with it. */
function countShared(ids: ArrayLike<number>, prefix: string, tokenizer: TextTokenizer): number {
  const own = tokenizer.encode(prefix, false).ids;
  let shared = 0;
  while (shared < own.length && own[shared] === ids[shared]) shared++;
  return shared;
}

/** The answer ends with its end token: white space that the template puts behind that is not the model's to write. */
function endOfAnswer(
  encoded: EncodedTokens,
  first: number,
  last: number,
  wordsOnly: boolean,
  tokenizer: TextTokenizer,
): number {
  const { ids } = encoded;
  if (wordsOnly) return ids[last] === tokenizer.eosId ? last + 1 : last;
  const isBlank = (at: number) => {
    const bytes = tokenizer.tokenBytes(encoded.spelling(at));
    return bytes?.toString("utf8").trim() === "";
  };
  let end = last;
  while (end > first && isBlank(end - 1)) end--;
  const closes = end > first && (tokenizer.isSpecial(ids[end - 1]!) || ids[end - 1] === tokenizer.eosId);
  return closes ? end : last;
}
