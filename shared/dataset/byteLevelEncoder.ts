import { field, isRow, type Row } from "./formats/rowFormat.ts";
import type { RankedBpe } from "./rankedBpe.ts";

/** Tokens of a text, and where each ends in its UTF-8 bytes. */
export interface EncodedText {
  readonly ids: Uint32Array;
  readonly ends: Uint32Array;
}

/** A step of the library's pre-tokenizer. */
interface LibrarySplit {
  /** The expression of a Split or of a ByteLevel step. */
  readonly pattern?: RegExp | null;
  pre_tokenize_text(text: string, options: object): string[];
}

/** The library's pre-tokenizer: one step, or a list of them. */
export type LibraryPreTokenizer = LibrarySplit & { readonly tokenizers?: readonly LibrarySplit[] };

/** Pieces whose tokens are kept; all are forgotten when there are more. */
const keptPieces = 50_000;
/** Longer pieces, in UTF-16 units, are merged sooner than found; and from 13 on V8 would keep the whole text for each. */
const keptLength = 12;

/**
 * The library's encoding of byte-level BPE with fewer detours, for tokenizers like those of Llama 3, Qwen, GPT-2 and
 * DeepSeek: added tokens are found by one regular expression, bytes are merged by their ids without being spelled, short
 * pieces only once, and where each token ends is known on the way. It splits with the library's own expressions.
 */
export class ByteLevelEncoder {
  readonly #added: RegExp | undefined;
  readonly #addedIds: ReadonlyMap<string, number>;
  readonly #normalForm: string | undefined;
  readonly #splits: readonly LibrarySplit[];
  /** GPT-2's expression, where the byte-level step splits too. */
  readonly #words: RegExp | undefined;
  readonly #model: RankedBpe;
  readonly #known = new Map<string, Int32Array>();
  /** The id of each byte; -1 where the model has none. */
  readonly #byteIds: Int32Array;
  /** Bytes of each of the model's tokens. */
  readonly #byteLengths: Int32Array;
  /** The ids of one piece, while they are merged. */
  #piece = new Int32Array(1024);
  #ids = new Uint32Array(4096);
  #ends = new Uint32Array(4096);
  #count = 0;

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
    this.#byteIds = Int32Array.from(byteCharacters, (character) => model.idOf(character));
    // A character of the byte alphabet stands for a byte.
    this.#byteLengths = Int32Array.from(model.spellings, (token) => token?.length ?? 0);
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
    // Where an added token has taken a token's place, only the library knows.
    const own = model.spellings.every((token, id) => token === undefined || model.tokens_to_ids.get(token) === id);
    return splits && own && !added.has("") ? new ByteLevelEncoder(added, normalForm, splits, model) : undefined;
  }

  /** Without the special tokens that a tokenizer puts around a text. Undefined for a text that only the library can do. */
  encode(text: string): EncodedText | undefined {
    if (this.#normalForm !== undefined && text.normalize(this.#normalForm) !== text) return undefined;
    this.#count = 0;
    let from = 0;
    if (this.#added) {
      this.#added.lastIndex = 0;
      for (let found = this.#added.exec(text); found; found = this.#added.exec(text)) {
        if (!this.#section(text.slice(from, found.index))) return undefined;
        const [content] = found;
        this.#push(this.#addedIds.get(content)!, Buffer.byteLength(content));
        from = found.index + content.length;
      }
    }
    if (!this.#section(text.slice(from))) return undefined;
    return { ids: this.#ids.slice(0, this.#count), ends: this.#ends.slice(0, this.#count) };
  }

  #section(section: string): boolean {
    if (section === "") return true;
    let pieces: readonly string[] = [section];
    for (const split of this.#splits)
      pieces = pieces.length === 1 ? splitWith(split, section) : pieces.flatMap((piece) => splitWith(split, piece));
    if (this.#words) pieces = pieces.flatMap((piece) => piece.match(this.#words!) ?? []);
    for (const piece of pieces) if (!this.#encodePiece(piece)) return false;
    return true;
  }

  #encodePiece(text: string): boolean {
    const known = text.length <= keptLength ? this.#known.get(text) : undefined;
    if (known) {
      for (let at = 0; at < known.length; at++) this.#push(known[at]!, this.#byteLengths[known[at]!]!);
      return true;
    }
    if (3 * text.length > this.#piece.length) this.#piece = new Int32Array(6 * text.length);
    const ids = this.#piece;
    const bytes = this.#spell(text, ids);
    if (bytes < 0) return false;
    const whole = this.#model.keepsWords ? this.#wholeWord(ids, bytes) : -1;
    if (whole >= 0) ids[0] = whole;
    const count = whole >= 0 ? 1 : this.#model.merge(ids, bytes);
    for (let at = 0; at < count; at++) this.#push(ids[at]!, this.#byteLengths[ids[at]!]!);
    if (text.length <= keptLength) {
      if (this.#known.size >= keptPieces) this.#known.clear();
      this.#known.set(text, ids.slice(0, count));
    }
    return true;
  }

  /** Writes the ids of the text's UTF-8 bytes; a lone surrogate is U+FFFD. Their number, -1 where the model lacks one. */
  #spell(text: string, ids: Int32Array): number {
    const byteIds = this.#byteIds;
    let count = 0;
    let missing = 0;
    // An id of -1 has the sign bit, and keeps it.
    const put = (byte: number) => {
      const id = byteIds[byte]!;
      missing |= id;
      ids[count++] = id;
    };
    for (let at = 0; at < text.length; at++) {
      let code = text.charCodeAt(at);
      if (code < 0x80) {
        put(code);
        continue;
      }
      if (code < 0x800) {
        put(0xc0 | (code >> 6));
        put(0x80 | (code & 0x3f));
        continue;
      }
      if (code >= 0xd800 && code <= 0xdfff) {
        const low = code < 0xdc00 ? text.charCodeAt(at + 1) : 0;
        if (low >= 0xdc00 && low <= 0xdfff) {
          const point = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
          put(0xf0 | (point >> 18));
          put(0x80 | ((point >> 12) & 0x3f));
          put(0x80 | ((point >> 6) & 0x3f));
          put(0x80 | (point & 0x3f));
          at++;
          continue;
        }
        code = 0xfffd;
      }
      put(0xe0 | (code >> 12));
      put(0x80 | ((code >> 6) & 0x3f));
      put(0x80 | (code & 0x3f));
    }
    return missing < 0 ? -1 : count;
  }

  /** The id of a piece that is a token as a whole, -1 where it is none. */
  #wholeWord(ids: Int32Array, bytes: number): number {
    let spelled = "";
    for (let at = 0; at < bytes; at++) spelled += this.#model.spellings[ids[at]!]!;
    return this.#model.idOf(spelled);
  }

  #push(id: number, bytes: number): void {
    const count = this.#count;
    if (count === this.#ids.length) {
      this.#ids = grown(this.#ids);
      this.#ends = grown(this.#ends);
    }
    this.#ids[count] = id;
    this.#ends[count] = (count === 0 ? 0 : this.#ends[count - 1]!) + bytes;
    this.#count = count + 1;
  }
}

function grown(values: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * values.length);
  larger.set(values);
  return larger;
}

/** What the library's split gives; where its expression leaves nothing between its matches, without its detours. */
function splitWith(split: LibrarySplit, text: string): readonly string[] {
  const pattern = split.pattern;
  if (pattern?.global) {
    const found: readonly string[] = text.match(pattern) ?? [];
    let length = 0;
    for (const piece of found) length += piece.length;
    if (length === text.length && !found.includes("")) return found;
  }
  return split.pre_tokenize_text(text, {});
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

/** GPT-2's `bytes_to_unicode`: printable bytes stand for themselves, the others for U+0100 and up, in order. */
export const byteCharacters: readonly string[] = (() => {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();
