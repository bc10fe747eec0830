/** A tensor as a header announces it. */
export interface TensorToAnnounce {
  readonly name: string;
  /** The format's name of the element type, for example "BF16". */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** The first bytes of a safetensors file, up to the data of its first tensor. Names must differ. */
export function encodeHeader(
  tensors: readonly TensorToAnnounce[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  // Built as text: an object would move keys that look like numbers to the front.
  const members: string[] = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  let offset = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    const end = offset + bytes;
    members.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${offset},${end}]}`);
    offset = end;
  }
  const header = new TextEncoder().encode(`{${members.join(",")}}`);
  // Padded with spaces so that the data starts at a multiple of 8, as the reference implementation writes it.
  const padded = new Uint8Array(8 + Math.ceil(header.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
  padded.set(header, 8);
  return padded;
}
