import { bytesOfFloat32 } from "../tensors/bytes.ts";
import { aside, asideMemory, blockBytes, decodeBfloat16, encodeBfloat16, kernelMemory, scratch } from "./kernels.ts";

/** How vectors travel: as they are, or rounded to bfloat16. */
export type WireFormat = "float32" | "bfloat16";

export function wireLength(format: WireFormat, elements: number): number {
  return elements * (format === "bfloat16" ? 2 : 4);
}

/** A vector's bytes on their way: a view of float32, or the bfloat16 in `into`, which is of their length. */
export function toWire(format: WireFormat, values: Float32Array, into?: Uint8Array): Uint8Array {
  if (format === "float32") return bytesOfFloat32(values);
  const wire = into ?? new Uint8Array(wireLength(format, values.length));
  const kernels = kernelMemory();
  const inKernels = values.buffer === kernels.buffer;
  eachBlock(bytesOfFloat32(values), (block, at) => {
    if (inKernels) encodeBfloat16(scratch[1], block.byteOffset, block.byteLength);
    else {
      asideMemory.set(block, scratch[0]);
      aside.encodeBfloat16(scratch[1], scratch[0], block.byteLength);
    }
    const encoded = inKernels ? kernels : asideMemory;
    wire.set(encoded.subarray(scratch[1], scratch[1] + block.byteLength / 2), at / 2);
  });
  return wire;
}

/** Fills a vector from bfloat16 that has come over the wire. */
export function fromBfloat16(wire: Uint8Array, into: Float32Array): Float32Array {
  const kernels = kernelMemory();
  const inKernels = into.buffer === kernels.buffer;
  eachBlock(bytesOfFloat32(into), (block, at) => {
    const encoded = wire.subarray(at / 2, (at + block.byteLength) / 2);
    if (inKernels) {
      kernels.set(encoded, scratch[1]);
      decodeBfloat16(block.byteOffset, scratch[1], block.byteLength);
      return;
    }
    asideMemory.set(encoded, scratch[1]);
    aside.decodeBfloat16(scratch[0], scratch[1], block.byteLength);
    block.set(asideMemory.subarray(scratch[0], scratch[0] + block.byteLength));
  });
  return into;
}

/** Makes every NaN the same: which one an addition yields depends on the processor. */
export function settle(values: Float32Array): Float32Array {
  eachBlock(bytesOfFloat32(values), (block) => {
    asideMemory.set(block, scratch[0]);
    aside.settleNaNs(scratch[0], block.byteLength);
    block.set(asideMemory.subarray(scratch[0], scratch[0] + block.byteLength));
  });
  return values;
}

function eachBlock(bytes: Uint8Array, work: (block: Uint8Array, at: number) => void): void {
  for (let at = 0; at < bytes.byteLength; at += blockBytes) work(bytes.subarray(at, at + blockBytes), at);
}
