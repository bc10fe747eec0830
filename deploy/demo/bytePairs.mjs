// Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019): learns merges from text and writes them in
// HuggingFace's tokenizer.json format.

/** GPT-2's way to cut text before merging; both HuggingFace's ByteLevel step and its JavaScript port use this pattern. */
const words = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** GPT-2's printable stand-ins for the 256 bytes. */
const alphabet = (() => {
  const spelled = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || byte > 173;
    spelled.push(String.fromCharCode(printable ? byte : next++));
  }
  return spelled;
})();

/**
 * Learns `count` merges, most frequent pair first, equal ones in the order of their spelling.
 * @param {Iterable<string>} texts
 * @param {number} count
 * @returns {[string, string][]}
 */
export function learnMerges(texts, count) {
  const occurrences = new Map();
  for (const text of texts) {
    for (const [word] of text.matchAll(words)) occurrences.set(word, (occurrences.get(word) ?? 0) + 1);
  }
  const pairs = new Map(); // "left right" → how often, and in which words
  for (const [text, times] of occurrences) {
    const word = { symbols: [...Buffer.from(text, "utf8")].map((byte) => alphabet[byte]), times };
    tally(pairs, word, times);
  }
  const merges = [];
  while (merges.length < count) {
    const best = mostFrequent(pairs);
    if (best === undefined) break;
    merges.push(best.split(" "));
    for (const word of [...pairs.get(best).words]) {
      tally(pairs, word, -word.times);
      word.symbols = merged(word.symbols, merges.at(-1));
      tally(pairs, word, word.times);
    }
  }
  return merges;
}

/**
 * @param {[string, string][]} merges
 * @param {readonly string[]} special Special tokens, which get the first ids.
 */
export function tokenizerJson(merges, special) {
  const tokens = [...special, ...alphabet, ...merges.map(([left, right]) => left + right)];
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({
      ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([left, right]) => `${left} ${right}`),
    },
  };
}

/** Adds a word's pairs to the counts, or takes them back. */
function tally(pairs, word, times) {
  for (let i = 1; i < word.symbols.length; i++) {
    const key = `${word.symbols[i - 1]} ${word.symbols[i]}`;
    const pair = pairs.get(key) ?? { times: 0, words: new Set() };
    pair.times += times;
    if (times > 0) pair.words.add(word);
    else pair.words.delete(word);
    pairs.set(key, pair);
  }
}

function mostFrequent(pairs) {
  let best;
  let most = 1; // a pair seen once is no pattern
  for (const [pair, { times }] of pairs) {
    if (times > most || (times === most && best !== undefined && pair < best)) [best, most] = [pair, times];
  }
  return best;
}

function merged(symbols, [left, right]) {
  const result = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      result.push(left + right);
      i++;
    } else result.push(symbols[i]);
  }
  return result;
}
