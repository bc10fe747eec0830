import { field, isRow, type Row } from "./formats/rowFormat.ts";
import type { RankedBpe } from "./rankedBpe.ts";

/** Tokens of a text, and where each ends in its UTF-8 bytes. */
export interface EncodedText {
  readonly ids: number[];
  readonly tokens: string[];
  readonly ends: number[];
}

/** A step of the library's pre-tokenizer. */
interface LibrarySplit {
  pre_tokenize_text(text: string, options: object): string[];
}

/** The library's pre-tokenizer: one step, or a list of them. */
export type LibraryPreTokenizer = LibrarySplit & { readonly tokenizers?: readonly LibrarySplit[] };

/** The tokens of a piece of text that is never looked at together with its neighbours. */
interface Piece {
  readonly ids: readonly number[];
  readonly tokens: readonly string[];
}

/** Pieces whose tokens are kept; all are forgotten when there are more. */
const keptPieces = 50_000;
/** Longer pieces, in UTF-16 units, are too rare to keep. */
const keptLength = 64;

/**
 * The library's encoding of byte-level BPE with fewer detours, for tokenizers like those of Llama 3, Qwen, GPT-2 and
 * DeepSeek: added tokens are found by one regular expression, pieces that have been seen before are not spelled in
 * bytes again, and where each token ends is known on the way. It splits with the library's own expressions.
 */
export class ByteLevelEncoder {
  readonly #added: RegExp | undefined;
  readonly #addedIds: ReadonlyMap<string, number>;
  readonly #normalForm: string | undefined;
  readonly #splits: readonly LibrarySplit[];
  /** GPT-2's expression, where the byte-level step splits too. */
  readonly #words: RegExp | undefined;
  readonly #model: RankedBpe;
  readonly #known = new Map<string, Piece>();

  private constructor(
    added: ReadonlyMap<string, number>,
    normalForm: string | undefined,
    splits: Splits,
    model: RankedBpe,
  ) {
    // The longest first, as the library has it.
    const contents = [...added.keys()].sort((a, b) => b.length - a.length);
    const escaped = contents.map((content) => content.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.#added = escaped.length === 0 ? undefined : new RegExp(escaped.join("|"), "g");
    this.#addedIds = added;
    this.#normalForm = normalForm;
    this.#splits = splits.before;
    this.#words = splits.words;
    this.#model = model;
  }

  /** Undefined where a tokenizer does more than is done here. */
  static create(
    description: Row,
    config: Row,
    { pre_tokenizer }: { pre_tokenizer: LibraryPreTokenizer | null },
    model: RankedBpe,
  ): ByteLevelEncoder | undefined {
    const normalizer = field(description, "normalizer") ?? undefined;
    const normalForm = isRow(normalizer) ? String(field(normalizer, "type")) : undefined;
    if (normalizer !== undefined && normalForm !== "NFC") return undefined;
    if (field(config, "remove_space") === true || field(config, "do_lowercase_and_remove_accent")) return undefined;
    const added = new Map<string, number>();
    for (const token of (field(description, "added_tokens") ?? []) as readonly Row[]) {
      const normalized = (field(token, "normalized") ?? !field(token, "special")) && normalForm !== undefined;
      if (field(token, "lstrip") || field(token, "rstrip") || field(token, "single_word") || normalized)
        return undefined;
      added.set(String(field(token, "content")), Number(field(token, "id")));
    }
    const splits = splitsOf(field(description, "pre_tokenizer"), pre_tokenizer);
    return splits && !added.has("") ? new ByteLevelEncoder(added, normalForm, splits, model) : undefined;
  }

  /** Without the special tokens that a tokenizer puts around a text. Undefined for a text that only the library can do. */
  encode(text: string): EncodedText | undefined {
    if (this.#normalForm !== undefined && text.normalize(this.#normalForm) !== text) return undefined;
    const result: EncodedText = { ids: [], tokens: [], ends: [] };
    let from = 0;
    if (this.#added) {
      this.#added.lastIndex = 0;
      for (let found = this.#added.exec(text); found; found = this.#added.exec(text)) {
        if (!this.#section(text.slice(from, found.index), result)) return undefined;
        const [content] = found;
        result.ids.push(this.#addedIds.get(content)!);
        result.tokens.push(content);
        result.ends.push((result.ends.at(-1) ?? 0) + Buffer.byteLength(content));
        from = found.index + content.length;
      }
    }
    return this.#section(text.slice(from), result) ? result : undefined;
  }

  #section(section: string, { ends, ids, tokens }: EncodedText): boolean {
    if (section === "") return true;
    let pieces: readonly string[] = [section];
    for (const split of this.#splits) pieces = pieces.flatMap((piece) => split.pre_tokenize_text(piece, {}));
    if (this.#words) pieces = pieces.flatMap((piece) => piece.match(this.#words!) ?? []);
    let end = ends.at(-1) ?? 0;
    for (const text of pieces) {
      const piece = this.#known.get(text) ?? this.#encodePiece(text);
      if (!piece) return false;
      for (let at = 0; at < piece.ids.length; at++) {
        const token = piece.tokens[at]!;
        ids.push(piece.ids[at]!);
        tokens.push(token);
        // A character of the byte alphabet stands for a byte.
        end += token.length;
        ends.push(end);
      }
    }
    return true;
  }

  #encodePiece(text: string): Piece | undefined {
    const spelled = spellBytes(text);
    const tokens = this.#model.encode([spelled]);
    const ids: number[] = [];
    let length = 0;
    for (const token of tokens) {
      const id = this.#model.tokens_to_ids.get(token);
      if (id === undefined) return undefined;
      ids.push(id);
      length += token.length;
    }
    // Not so where something is unknown.
    if (length !== spelled.length) return undefined;
    const piece = { ids, tokens };
    if (text.length <= keptLength) {
      if (this.#known.size >= keptPieces) this.#known.clear();
      this.#known.set(text, piece);
    }
    return piece;
  }
}

interface Splits {
  readonly before: readonly LibrarySplit[];
  readonly words: RegExp | undefined;
}

/** Splits that keep all of a text, and a byte-level step behind them. */
function splitsOf(description: unknown, library: LibraryPreTokenizer | null): Splits | undefined {
  if (library === null) return undefined;
  const steps =
    isRow(description) && field(description, "type") === "Sequence"
      ? field(description, "pretokenizers")
      : [description];
  const parts = library.tokenizers ?? [library];
  if (!Array.isArray(steps) || steps.length === 0 || steps.length !== parts.length || !steps.every(isRow))
    return undefined;
  const [last, ...others] = [...steps].reverse() as [Row, ...Row[]];
  if (field(last, "type") !== "ByteLevel" || (field(last, "add_prefix_space") ?? true) !== false) return undefined;
  const plain = (step: Row) =>
    (field(step, "type") === "Split" && field(step, "behavior") === "Isolated" && field(step, "invert") === false) ||
    (field(step, "type") === "Digits" && field(step, "individual_digits") === true);
  if (!others.every(plain)) return undefined;
  const words = (field(last, "use_regex") ?? true) ? (parts.at(-1) as { pattern?: RegExp }).pattern : undefined;
  return { before: parts.slice(0, -1), words };
}

/** The bytes of a text in GPT-2's alphabet. */
function spellBytes(text: string): string {
  let spelled = "";
  for (const byte of Buffer.from(text, "utf8")) spelled += byteCharacters[byte]!;
  return spelled;
}

/** GPT-2's `bytes_to_unicode`: printable bytes stand for themselves, the others for U+0100 and up, in order. */
export const byteCharacters: readonly string[] = (() => {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();
