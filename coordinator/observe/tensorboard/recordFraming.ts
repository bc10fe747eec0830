import { createCRC32 } from "hash-wasm";

/** CRC-32C (Castagnoli), reflected. */
const polynomial = 0x82f63b78;
const hasher = await createCRC32(polynomial);

/** Frames one record of a TFRecord file: u64 length, masked CRC of the length, the data, masked CRC of the data. */
export function frameRecord(data: Uint8Array): Uint8Array {
  const frame = new Uint8Array(16 + data.length);
  const view = new DataView(frame.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(frame.subarray(0, 8)), true);
  frame.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return frame;
}

/** As tensorflow/core/lib/hash/crc32c.h masks it, so that a CRC of data that holds CRCs stays strong. */
export function maskedCrc32c(data: Uint8Array): number {
  const crc = Number.parseInt(hasher.init().update(data).digest("hex"), 16);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
