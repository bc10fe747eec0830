import { CoordError } from "../errors.ts";
import { type RandomKey, randomKey, randomUint32, randomUnit } from "../rng.ts";
import type { Conversation } from "./conversation.ts";

/** How a text is varied; each number is the share of words, from 0 to 1, to which something is done. */
export interface AugmentOptions {
  /** Words and phrases that stand for one another. */
  readonly synonyms: Synonyms | undefined;
  /** Of the words that have synonyms. */
  readonly replace: number;
  /** Of all words, each with the next one. */
  readonly swap: number;
  readonly delete: number;
}

/** Groups of words that stand for one another. */
export interface Synonyms {
  readonly groups: ReadonlyMap<string, readonly string[]>;
  /** Finds the words in a text, the longest first. Undefined where there are none. */
  readonly pattern: RegExp | undefined;
}

/**
 * Reads a dictionary: a group of synonyms per line, separated by commas (also Chinese ones) or tabs; empty lines and those
 * that begin with # say nothing. `path` is for messages. Throws CONFIG_INVALID.
 */
export function parseSynonyms(text: string, path: string): Synonyms {
  const groups = new Map<string, string[]>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const words = [...new Set(line.split(/[,\t\uff0c\u3001]/).map((word) => word.trim()))].filter(
      (word) => word !== "",
    );
    if (words.length < 2) {
      throw new CoordError(
        "CONFIG_INVALID",
        `${path}, line ${index + 1}: a line of --augment-synonyms has two words or more, separated by commas or tabs.`,
      );
    }
    for (const word of words) groups.set(word, [...(groups.get(word) ?? []), ...words.filter((one) => one !== word)]);
  }
  if (groups.size === 0) throw new CoordError("CONFIG_INVALID", `${path} has no synonyms; is it the right file?`);
  const longestFirst = [...groups.keys()].sort((a, b) => b.length - a.length);
  return { groups, pattern: new RegExp(longestFirst.map(asWholeWord).join("|"), "gu") };
}

/** A word of letters that are written with spaces in between is not part of another; Chinese has no such borders. */
function asWholeWord(word: string): string {
  const escaped = word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  const spaced = "[\\p{Script=Latin}\\p{Script=Cyrillic}\\p{Script=Greek}\\p{N}]";
  const begins = new RegExp(`^${spaced}`, "u").test(word);
  const ends = new RegExp(`${spaced}$`, "u").test(word);
  return `${begins ? `(?<!${spaced})` : ""}${escaped}${ends ? `(?!${spaced})` : ""}`;
}

/**
 * A variant of a conversation: what its user says is changed, or the text where it is no dialogue; answers never. A pure
 * function of its arguments. Undefined where nothing came out changed. Easy data augmentation of Wei and Zou (2019).
 */
export function augmentConversation(
  conversation: Conversation,
  options: AugmentOptions,
  key: RandomKey,
): Conversation | undefined {
  if ("text" in conversation) {
    const text = augmentText(conversation.text, options, key);
    return text === conversation.text ? undefined : { ...conversation, text };
  }
  const messages = conversation.messages.map((message, index) =>
    message.role === "user"
      ? { ...message, content: augmentText(message.content, options, derive(key, `message ${index}`)) }
      : message,
  );
  const changed = messages.some(({ content }, index) => content !== conversation.messages[index]!.content);
  return changed ? { ...conversation, messages } : undefined;
}

function derive({ high, low }: RandomKey, purpose: string): RandomKey {
  return randomKey(low, high, purpose);
}

/** Synonyms first, then words are deleted, then neighbours swapped. A text keeps at least one word. */
export function augmentText(text: string, options: AugmentOptions, key: RandomKey): string {
  const replaced = replaceSynonyms(text, options, derive(key, "synonyms"));
  const parts = Array.from(words.segment(replaced), ({ isWordLike, segment }) => ({
    segment,
    word: isWordLike === true,
  }));
  const kept = deleteWords(parts, options.delete, derive(key, "delete"));
  swapWords(kept, options.swap, derive(key, "swap"));
  return kept.map(({ segment }) => segment).join("");
}

/** Finds words in any script, Chinese among them. */
const words = new Intl.Segmenter("zh", { granularity: "word" });

interface Part {
  segment: string;
  readonly word: boolean;
}

function replaceSynonyms(text: string, { replace, synonyms }: AugmentOptions, key: RandomKey): string {
  if (!synonyms?.pattern) return text;
  let drawn = 0;
  return text.replace(synonyms.pattern, (word) => {
    const others = synonyms.groups.get(word) ?? [];
    const wanted = randomUnit(key, drawn++) < replace;
    const choice = randomUint32(key, drawn++) % Math.max(1, others.length);
    return wanted ? (others[choice] ?? word) : word;
  });
}

function deleteWords(parts: readonly Part[], share: number, key: RandomKey): Part[] {
  const total = parts.filter(({ word }) => word).length;
  let left = total;
  const kept: Part[] = [];
  let afterDeleted = false;
  for (const [at, part] of parts.entries()) {
    if (part.word && left > 1 && randomUnit(key, at) < share) {
      left--;
      afterDeleted = true;
      continue;
    }
    // The space behind a word goes with it.
    if (!(afterDeleted && /^[ \t]+$/.test(part.segment))) kept.push({ ...part });
    afterDeleted = false;
  }
  return kept;
}

function swapWords(parts: Part[], share: number, key: RandomKey): void {
  const places = parts.flatMap(({ word }, at) => (word ? [at] : []));
  for (let at = 0; at + 1 < places.length; at++) {
    if (randomUnit(key, at) >= share) continue;
    const [first, second] = [parts[places[at]!]!, parts[places[at + 1]!]!];
    [first.segment, second.segment] = [second.segment, first.segment];
    // A word moves by one place at most.
    at++;
  }
}
