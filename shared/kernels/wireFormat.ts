import { bytesOfFloat32 } from "../tensors/bytes.ts";
import { blockBytes, decodeBfloat16, encodeBfloat16, kernelMemory, scratch, settleNaNs } from "./kernels.ts";

/** How vectors travel: as they are, or rounded to bfloat16. */
export type WireFormat = "float32" | "bfloat16";

export function wireLength(format: WireFormat, elements: number): number {
  return elements * (format === "bfloat16" ? 2 : 4);
}

/** A vector's bytes on their way: a view of float32, or the bfloat16 in `into`, which is of their length. */
export function toWire(format: WireFormat, values: Float32Array, into?: Uint8Array): Uint8Array {
  if (format === "float32") return bytesOfFloat32(values);
  const wire = into ?? new Uint8Array(wireLength(format, values.length));
  eachBlock(bytesOfFloat32(values), (block, at) => {
    kernelMemory().set(block, scratch[0]);
    encodeBfloat16(scratch[1], scratch[0], block.byteLength);
    wire.set(kernelMemory().subarray(scratch[1], scratch[1] + block.byteLength / 2), at / 2);
  });
  return wire;
}

/** Fills a vector from bfloat16 that has come over the wire. */
export function fromBfloat16(wire: Uint8Array, into: Float32Array): Float32Array {
  eachBlock(bytesOfFloat32(into), (block, at) => {
    kernelMemory().set(wire.subarray(at / 2, (at + block.byteLength) / 2), scratch[1]);
    decodeBfloat16(scratch[0], scratch[1], block.byteLength);
    block.set(kernelMemory().subarray(scratch[0], scratch[0] + block.byteLength));
  });
  return into;
}

/** Makes every NaN the same: which one an addition yields depends on the processor. */
export function settle(values: Float32Array): Float32Array {
  eachBlock(bytesOfFloat32(values), (block) => {
    kernelMemory().set(block, scratch[0]);
    settleNaNs(scratch[0], block.byteLength);
    block.set(kernelMemory().subarray(scratch[0], scratch[0] + block.byteLength));
  });
  return values;
}

function eachBlock(bytes: Uint8Array, work: (block: Uint8Array, at: number) => void): void {
  for (let at = 0; at < bytes.byteLength; at += blockBytes) work(bytes.subarray(at, at + blockBytes), at);
}
