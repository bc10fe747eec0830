import { bytesOfFloat32 } from "../tensors/bytes.ts";
import { blockBytes, kernelMemory, scratch, settleNaNs } from "./kernels.ts";

/** The bytes of `values`, in which it makes every NaN the same: which one an addition yields depends on the processor. */
export function settledBytes(values: Float32Array): Uint8Array {
  const bytes = bytesOfFloat32(values);
  const memory = kernelMemory();
  for (let at = 0; at < bytes.byteLength; at += blockBytes) {
    const block = bytes.subarray(at, at + blockBytes);
    memory.set(block, scratch[0]);
    settleNaNs(scratch[0], block.byteLength);
    block.set(memory.subarray(scratch[0], scratch[0] + block.byteLength));
  }
  return bytes;
}
