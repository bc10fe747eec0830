import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { Piece } from "./chunks.ts";

/**
 * Encodes and decodes the messages that carry pieces of long vectors (a oneof `part` with a `coord.v1.Chunk`), byte for
 * byte as protobuf does, but without its copies: protobuf-es copies `data` twice into zeroed memory on the way out.
 */
export interface ChunkCodec {
  /** The wire form of a message whose part is a chunk; undefined for every other message. */
  encode(message: object): Buffer | undefined;
  /** The message, its data a view into `bytes`; undefined where `bytes` is anything but one canonical chunk. */
  decode(bytes: Uint8Array): Message | undefined;
}

/** The codec of a message type; undefined when it carries no chunks. */
export function chunkCodec(schema: DescMessage): ChunkCodec | undefined {
  const field = schema.fields.find(({ message }) => message?.typeName === "coord.v1.Chunk");
  if (field?.oneof?.localName !== "part" || field.number > 15) return undefined;
  const tag = (field.number << 3) | lengthDelimited;
  return {
    encode(message) {
      const part = (message as { part?: { case: string; value: Piece } }).part;
      return part?.case === field.localName ? frame(tag, part.value) : undefined;
    },
    decode(bytes) {
      const value = parse(tag, bytes);
      return value && ({ $typeName: schema.typeName, part: { case: field.localName, value } } as Message);
    },
  };
}

const lengthDelimited = 2;
const offsetTag = 1 << 3;
const dataTag = (2 << 3) | lengthDelimited;

/**
 * grpc-js asks a serialized message for its length and copies it behind five bytes of its own; this lets that copy be
 * the only one. It stands in for a Buffer there and nowhere else.
 */
class ChunkFrame {
  readonly byteLength: number;

  constructor(
    private readonly head: Uint8Array,
    private readonly data: Uint8Array,
  ) {
    this.byteLength = head.length + data.length;
  }

  get length(): number {
    return this.byteLength;
  }

  copy(target: Uint8Array, at = 0): number {
    target.set(this.head, at);
    target.set(this.data, at + this.head.length);
    return this.byteLength;
  }
}

function frame(tag: number, { offset, data }: Piece): Buffer {
  const inner: number[] = [];
  // proto3 leaves default values out.
  if (offset !== 0n) inner.push(offsetTag, ...varint(Number(offset)));
  if (data.length > 0) inner.push(dataTag, ...varint(data.length));
  const head = Uint8Array.from([tag, ...varint(inner.length + data.length), ...inner]);
  return new ChunkFrame(head, data) as unknown as Buffer;
}

function parse(tag: number, bytes: Uint8Array) {
  const cursor = { bytes, at: 0 };
  if (bytes[cursor.at++] !== tag) return undefined;
  const length = readVarint(cursor);
  if (length === undefined || length !== bytes.length - cursor.at) return undefined;
  let offset: number | undefined = 0;
  if (bytes[cursor.at] === offsetTag) {
    cursor.at++;
    offset = readVarint(cursor);
  }
  if (offset === undefined || bytes[cursor.at++] !== dataTag) return undefined;
  const size = readVarint(cursor);
  if (size === undefined || size !== bytes.length - cursor.at) return undefined;
  return { $typeName: "coord.v1.Chunk", offset: BigInt(offset), data: bytes.subarray(cursor.at) };
}

/** Base-128, least significant group first; `value` is a whole number below 2^53. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return bytes;
}

/** Undefined at a truncated number or one that does not fit 49 bits. */
function readVarint(cursor: { readonly bytes: Uint8Array; at: number }): number | undefined {
  let value = 0;
  for (let scale = 1; scale < 2 ** 49; scale *= 0x80) {
    const byte = cursor.bytes[cursor.at++];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
  return undefined;
}
