import * as library from "@huggingface/tokenizers";
import { field, isRow, type Row } from "./formats/rowFormat.ts";

/** The library's BPE model as far as it is used here; its own declarations do not resolve under NodeNext. */
interface LibraryBpe {
  tokens_to_ids: Map<string, number>;
  vocab: string[];
  bpe(word: string): string[];
  encode(words: readonly string[]): string[];
}

const { BPE: LibraryBpe } = library as unknown as { BPE: new (config: Row) => LibraryBpe };

/** Words whose tokens are kept; all are forgotten when there are more. */
const cachedWords = 50_000;
/** Longer words, in UTF-16 units, are too rare to keep. */
const cachedLength = 256;
/** Words of up to so many symbols are merged by looking for the lowest rank again and again, longer ones with a heap. */
const shortWord = 100;
/** Positions in a word that a heap key has room for beside a rank; a row is shorter. */
const positions = 2 ** 28;
const never = 2 ** 31 - 1;

/**
 * The library's BPE with the merging done on token ids instead of texts, which takes a fraction of the time. Merges in
 * the same order: the lowest rank first, and of equal ones the leftmost.
 */
export class RankedBpe extends LibraryBpe {
  /** True where a word that is a token is not merged. */
  readonly keepsWords: boolean;
  readonly #merges: MergeTable;
  /** The model's own, without tokens added to it, which take no part in merges. */
  readonly #ids: ReadonlyMap<string, number>;
  readonly #vocabulary: readonly string[];
  readonly #cache = new Map<string, string[]>();
  #scratch = new Int32Array(1024);
  #ranks = new Int32Array(shortWord);

  private constructor(config: Row, merges: MergeTable, ids: ReadonlyMap<string, number>) {
    // Without its own table of merges, which would take tens of megabytes and never be looked at.
    super({ ...config, merges: [] });
    this.keepsWords = Boolean(field(config, "ignore_merges"));
    this.#merges = merges;
    this.#ids = ids;
    const vocabulary: string[] = [];
    for (const [token, id] of ids) vocabulary[id] = token;
    this.#vocabulary = vocabulary;
  }

  /** Undefined where the model is not plain BPE whose merges all lead to tokens of its vocabulary. */
  static create(config: Row): RankedBpe | undefined {
    const vocab = field(config, "vocab");
    const merges = field(config, "merges");
    if ((field(config, "type") ?? "BPE") !== "BPE" || !isRow(vocab) || !Array.isArray(merges)) return undefined;
    if (field(config, "end_of_word_suffix") || field(config, "continuing_subword_prefix")) return undefined;
    if (field(config, "continuing_subword_suffix") || field(config, "dropout")) return undefined;
    const ids = new Map(Object.entries(vocab as Readonly<Record<string, number>>));
    const table = new MergeTable(merges.length);
    for (const [rank, merge] of merges.entries()) {
      const [left, right] = (typeof merge === "string" ? merge.split(" ", 2) : merge) as [string, string];
      const [leftId, rightId, mergedId] = [ids.get(left), ids.get(right), ids.get(left + right)];
      if (leftId === undefined || rightId === undefined || mergedId === undefined) return undefined;
      table.set(leftId, rightId, rank, mergedId);
    }
    return new RankedBpe(config, table, ids);
  }

  /** Takes over the vocabulary of a model to which the library has added tokens. */
  adopt({ tokens_to_ids, vocab }: Pick<LibraryBpe, "tokens_to_ids" | "vocab">): void {
    this.tokens_to_ids = tokens_to_ids;
    this.vocab = vocab;
  }

  /** The id of a token of the model's own, -1 where it has none. */
  idOf(token: string): number {
    return this.#ids.get(token) ?? -1;
  }

  /** The spelling of each of the model's own tokens, by id. */
  get spellings(): readonly string[] {
    return this.#vocabulary;
  }

  override bpe(word: string): string[] {
    const known = this.#cache.get(word);
    if (known !== undefined) return known;
    const tokens = this.#split(Array.from(word));
    if (word.length <= cachedLength) {
      if (this.#cache.size >= cachedWords) this.#cache.clear();
      this.#cache.set(word, tokens);
    }
    return tokens;
  }

  #split(symbols: readonly string[]): string[] {
    if (symbols.length > this.#scratch.length) this.#scratch = new Int32Array(2 * symbols.length);
    const ids = this.#scratch;
    // A character that is no token takes part in no merge, so that those come out in the order in which they went in.
    const unknown: string[] = [];
    for (let at = 0; at < symbols.length; at++) {
      const id = this.#ids.get(symbols[at]!) ?? -1;
      ids[at] = id;
      if (id < 0) unknown.push(symbols[at]!);
    }
    const count = this.merge(ids, symbols.length);
    let next = 0;
    return Array.from(ids.subarray(0, count), (id) => (id < 0 ? unknown[next++]! : this.#vocabulary[id]!));
  }

  /** Merges the first `count` ids in place; -1 merges with nothing. Returns how many ids are left. */
  merge(ids: Int32Array, count: number): number {
    return count <= shortWord ? this.#mergeShort(ids, count) : this.#mergeLong(ids, count);
  }

  #mergeShort(ids: Int32Array, count: number): number {
    const merges = this.#merges;
    const ranks = this.#ranks;
    for (let at = 0; at + 1 < count; at++) ranks[at] = merges.rank(ids[at]!, ids[at + 1]!);
    let left = count;
    while (left > 1) {
      let lowest = never;
      let at = -1;
      for (let place = 0; place < left - 1; place++) {
        if (ranks[place]! < lowest) {
          lowest = ranks[place]!;
          at = place;
        }
      }
      if (at < 0) break;
      ids[at] = merges.merged(lowest);
      left--;
      for (let place = at + 1; place < left; place++) {
        ids[place] = ids[place + 1]!;
        ranks[place] = ranks[place + 1]!;
      }
      if (at > 0) ranks[at - 1] = merges.rank(ids[at - 1]!, ids[at]!);
      if (at + 1 < left) ranks[at] = merges.rank(ids[at]!, ids[at + 1]!);
    }
    return left;
  }

  #mergeLong(ids: Int32Array, count: number): number {
    const merges = this.#merges;
    const next = Int32Array.from({ length: count }, (_, at) => (at + 1 < count ? at + 1 : -1));
    const previous = Int32Array.from({ length: count }, (_, at) => at - 1);
    const heap = new KeyHeap(2 * count);
    const offer = (at: number) => {
      const rank = merges.rank(ids[at]!, ids[next[at]!]!);
      if (rank < never) heap.push(rank * positions + at);
    };
    for (let at = 0; at + 1 < count; at++) offer(at);
    for (let key = heap.pop(); key >= 0; key = heap.pop()) {
      const at = key % positions;
      const right = next[at]!;
      if (right < 0) continue;
      // What was offered may have been merged otherwise since.
      const rank = merges.rank(ids[at]!, ids[right]!);
      if (rank !== (key - at) / positions) continue;
      ids[at] = merges.merged(rank);
      const after = next[right]!;
      next[at] = after;
      next[right] = -1;
      ids[right] = -1;
      if (after >= 0) previous[after] = at;
      if (previous[at]! >= 0) offer(previous[at]!);
      if (after >= 0) offer(at);
    }
    let left = 0;
    // Never written before it is read: what is left of a place is as far back or further.
    for (let at = 0; at >= 0; at = next[at]!) ids[left++] = ids[at]!;
    return left;
  }
}

/** From pairs of token ids to rank, by open addressing, and from ranks to merged ids. */
class MergeTable {
  readonly #mask: number;
  /** Left id, right id, rank, nothing; a left id of -1 where the slot is free. */
  readonly #slots: Int32Array;
  readonly #merged: Int32Array;

  constructor(merges: number) {
    const capacity = 2 ** Math.ceil(Math.log2(2 * merges + 2));
    this.#mask = capacity - 1;
    this.#slots = new Int32Array(4 * capacity).fill(-1);
    this.#merged = new Int32Array(merges);
  }

  set(left: number, right: number, rank: number, merged: number): void {
    const slots = this.#slots;
    let slot = this.#start(left, right);
    while (slots[slot]! >= 0 && !(slots[slot] === left && slots[slot + 1] === right)) slot = this.#after(slot);
    slots[slot] = left;
    slots[slot + 1] = right;
    slots[slot + 2] = rank;
    this.#merged[rank] = merged;
  }

  /** The rank of a pair, `never` where it does not merge. */
  rank(left: number, right: number): number {
    const slots = this.#slots;
    if (left < 0 || right < 0) return never;
    for (let slot = this.#start(left, right); slots[slot]! >= 0; slot = this.#after(slot)) {
      if (slots[slot] === left && slots[slot + 1] === right) return slots[slot + 2]!;
    }
    return never;
  }

  /** What a merge of that rank makes. */
  merged(rank: number): number {
    return this.#merged[rank]!;
  }

  #start(left: number, right: number): number {
    const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    return ((mixed ^ (mixed >>> 15)) & this.#mask) * 4;
  }

  #after(slot: number): number {
    return (slot + 4) & (4 * this.#mask + 3);
  }
}

/** A binary heap of numbers, the smallest first. */
class KeyHeap {
  #keys: Float64Array;
  #size = 0;

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity);
  }

  push(key: number): void {
    if (this.#size === this.#keys.length) {
      const larger = new Float64Array(2 * this.#size);
      larger.set(this.#keys);
      this.#keys = larger;
    }
    const keys = this.#keys;
    let at = this.#size++;
    for (let parent = (at - 1) >> 1; at > 0 && keys[parent]! > key; parent = (at - 1) >> 1) {
      keys[at] = keys[parent]!;
      at = parent;
    }
    keys[at] = key;
  }

  /** -1 where there is none. */
  pop(): number {
    if (this.#size === 0) return -1;
    const keys = this.#keys;
    const top = keys[0]!;
    const last = keys[--this.#size]!;
    let at = 0;
    for (let child = 1; child < this.#size; child = 2 * at + 1) {
      if (child + 1 < this.#size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= last) break;
      keys[at] = keys[child]!;
      at = child;
    }
    keys[at] = last;
    return top;
  }
}
