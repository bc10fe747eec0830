import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { CoordError } from "../errors.ts";
import { readModelText } from "../tensors/modelFiles.ts";
import { ByteLevelEncoder, byteCharacters, type EncodedText, type LibraryPreTokenizer } from "./byteLevelEncoder.ts";
import { field, isRow, type Row } from "./formats/rowFormat.ts";
import { RankedBpe } from "./rankedBpe.ts";

/** Files of a model directory that shape its tokens; absent ones are undefined. */
export interface TokenizerFiles {
  readonly directory: string;
  /** tokenizer.json */
  readonly tokenizer: string;
  /** tokenizer_config.json */
  readonly config: string | undefined;
  /** chat_template.jinja */
  readonly chatTemplate: string | undefined;
}

/** Reads the tokenizer's files. Throws MODEL_INVALID where tokenizer.json is missing. */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const optional = async (name: string): Promise<string | undefined> => {
    const path = join(directory, name);
    try {
      return await readModelText(path);
    } catch (thrown) {
      if (((thrown as Error).cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT") return undefined;
      throw thrown;
    }
  };
  const [tokenizer, config, chatTemplate] = await Promise.all(
    ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"].map(optional),
  );
  if (tokenizer === undefined) {
    throw new CoordError(
      "MODEL_INVALID",
      `${directory} has no tokenizer.json; export it with AutoTokenizer.from_pretrained(…).save_pretrained(…) of a fast tokenizer.`,
    );
  }
  return { directory, tokenizer, config, chatTemplate };
}

/** Names of the special tokens that a chat template may use, as HuggingFace's `special_tokens_map` has them. */
const specialNames = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
  "additional_special_tokens",
];

/** A tokenizer with what the data path needs to know of it. */
export interface TextTokenizer {
  /** tokenizer_config.json, `{}` where there is none. */
  readonly config: Row;
  /** Special tokens by name: "bos_token" → "<s>". */
  readonly specialTokens: Readonly<Record<string, string | readonly string[]>>;
  readonly eosId: number | undefined;
  /** True when the tokenizer itself begins a text with its BOS token. */
  readonly addsBos: boolean;
  /** The largest token id there is. */
  readonly largestId: number;
  /** True for ids of tokens marked special, such as `<|im_end|>` or `</s>`. */
  isSpecial(id: number): boolean;
  encode(text: string, addSpecialTokens: boolean): EncodedTokens;
  /** The text of tokens, special ones included; a tokenizer may put or drop a space at the beginning. */
  decode(ids: readonly number[]): string;
  /** The bytes of the text that a token stands for, undefined where its spelling does not say. */
  tokenBytes(token: string): Buffer | undefined;
}

export interface EncodedTokens {
  readonly ids: ArrayLike<number>;
  /** The tokens' spellings in the vocabulary. */
  readonly tokens: readonly string[];
  /** The spelling of the token at a place. */
  spelling(at: number): string;
  /** Where each token ends in the text's UTF-8 bytes, where that is known. */
  readonly ends?: ArrayLike<number>;
}

/** Builds the tokenizer. Throws MODEL_INVALID where a file is not what it should be. */
export function createTokenizer(files: TokenizerFiles): TextTokenizer {
  const description = parseObject(files.tokenizer, join(files.directory, "tokenizer.json"));
  const config =
    files.config === undefined ? {} : parseObject(files.config, join(files.directory, "tokenizer_config.json"));
  const { tokenizer, quick } = build(description, config, files.directory);
  const added = [...tokenizer.get_added_tokens_decoder().values()];
  const specialIds = new Set(added.filter((token) => token.special).map((token) => token.id));
  const specialTokens = readSpecialTokens(config);
  const spellings = (id: number) => tokenizer.model.vocab[id]!;
  const idOf = (name: string) => {
    const spelling = specialTokens[name];
    return typeof spelling === "string" ? tokenizer.token_to_id(spelling) : undefined;
  };
  const encode = (text: string, addSpecialTokens: boolean): EncodedTokens => {
    const quickly = addSpecialTokens ? undefined : quick?.encode(text);
    if (quickly) return new QuickTokens(quickly, spellings);
    const { ids, tokens } = tokenizer.encode(text, { add_special_tokens: addSpecialTokens });
    const unknown = (ids as (number | undefined)[]).indexOf(undefined);
    if (unknown >= 0) {
      const spelling = JSON.stringify(tokens[unknown]);
      throw new CoordError("MODEL_INVALID", `The tokenizer in ${files.directory} has no id for ${spelling}.`);
    }
    return { ids, tokens, spelling: (at) => tokens[at]! };
  };
  const bosId = idOf("bos_token");
  return {
    config,
    specialTokens,
    eosId: idOf("eos_token"),
    addsBos: bosId !== undefined && encode("a", true).ids[0] === bosId,
    largestId: [...tokenizer.get_vocab().values()].reduce((largest, id) => Math.max(largest, id), 0),
    isSpecial: (id) => specialIds.has(id),
    encode,
    decode: (ids) => tokenizer.decode([...ids], { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
    tokenBytes: bytesOfTokens(description, new Set(added.map((token) => token.content))),
  };
}

/** Tokens that are spelled when somebody asks. */
class QuickTokens implements EncodedTokens {
  readonly ids: Uint32Array;
  readonly ends: Uint32Array;

  constructor(
    { ids, ends }: EncodedText,
    private readonly spellingOf: (id: number) => string,
  ) {
    this.ids = ids;
    this.ends = ends;
  }

  get tokens(): readonly string[] {
    return Array.from(this.ids, this.spellingOf);
  }

  spelling(at: number): string {
    return this.spellingOf(this.ids[at]!);
  }
}

/** The part of the library's tokenizer that is used here; its own declarations do not resolve under NodeNext. */
interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[]; tokens: string[] };
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  get_added_tokens_decoder(): Map<number, { id: number; content: string; special: boolean }>;
  get_vocab(): Map<string, number>;
  readonly model: LibraryModel;
}

/** The vocabulary of a library's model, by token and by id. */
interface LibraryModel {
  tokens_to_ids: Map<string, number>;
  vocab: string[];
}

/** The library's tokenizer, and the quicker way to encode with it where there is one. */
function build(
  description: Row,
  config: Row,
  directory: string,
): { tokenizer: LibraryTokenizer; quick?: ByteLevelEncoder | undefined } {
  try {
    // The library insists on these keys; the format allows all but `model` to be left out.
    const defaults = { decoder: null, post_processor: null, pre_tokenizer: null, normalizer: null, added_tokens: [] };
    const model = field(description, "model");
    const ranked = isRow(model) ? RankedBpe.create(model) : undefined;
    if (ranked === undefined) return { tokenizer: new HuggingFaceTokenizer({ ...defaults, ...description }, config) };
    const whole = { ...defaults, ...description, model: { ...(model as Row), merges: [] } };
    const tokenizer: Omit<LibraryTokenizer, "model"> & {
      model: LibraryModel;
      pre_tokenizer: LibraryPreTokenizer | null;
    } = new HuggingFaceTokenizer(whole, config);
    // The library has put the added tokens into its own model's vocabulary.
    ranked.adopt(tokenizer.model);
    tokenizer.model = ranked;
    return { tokenizer, quick: ByteLevelEncoder.create(description, config, tokenizer, ranked) };
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new CoordError("MODEL_INVALID", `The tokenizer.json in ${directory} cannot be used: ${reason}.`, {
      cause: thrown,
    });
  }
}

function parseObject(text: string, path: string): Row {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    const problem = `${path} is not JSON: ${(thrown as Error).message}; copy or download it again.`;
    throw new CoordError("MODEL_INVALID", problem, { cause: thrown });
  }
  if (!isRow(value)) {
    throw new CoordError("MODEL_INVALID", `${path} does not hold a JSON object; copy or download it again.`);
  }
  return value;
}

/** A token is written as text or as an object with `content`, depending on the version that saved it. */
function readSpecialTokens(config: Row): Record<string, string | readonly string[]> {
  const spelling = (value: unknown): string | undefined => {
    if (typeof value === "string") return value;
    const content = isRow(value) ? field(value, "content") : undefined;
    return typeof content === "string" ? content : undefined;
  };
  const found: Record<string, string | readonly string[]> = {};
  for (const name of specialNames) {
    const value = field(config, name);
    const token = Array.isArray(value) ? value.map(spelling).filter((one) => one !== undefined) : spelling(value);
    if (token !== undefined) found[name] = token;
  }
  return found;
}

/** How the vocabulary spells bytes: GPT-2's byte alphabet where a ByteLevel step is named, SentencePiece's otherwise. */
function bytesOfTokens(description: Row, added: ReadonlySet<string>): (token: string) => Buffer | undefined {
  const known = new Map<string, Buffer | undefined>();
  const steps = JSON.stringify([field(description, "pre_tokenizer"), field(description, "decoder")]);
  const spell = steps.includes('"ByteLevel"') ? byteLevelBytes : sentencePieceBytes;
  return (token) => {
    const before = known.get(token);
    if (before !== undefined) return before;
    const bytes = added.has(token) ? Buffer.from(token, "utf8") : spell(token);
    known.set(token, bytes);
    return bytes;
  };
}

function sentencePieceBytes(token: string): Buffer {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token);
  if (byte !== null) return Buffer.from(byte[1]!, "hex");
  return Buffer.from(token.replaceAll("\u2581", " "), "utf8");
}

function byteLevelBytes(token: string): Buffer | undefined {
  const bytes = Buffer.alloc(token.length);
  for (let at = 0; at < token.length; at++) {
    const byte = byteAlphabet.get(token[at]!);
    if (byte === undefined) return undefined;
    bytes[at] = byte;
  }
  return bytes;
}

const byteAlphabet: ReadonlyMap<string, number> = new Map(byteCharacters.map((character, byte) => [character, byte]));
