import { createXXHash3 } from "hash-wasm";
import { CoordError } from "../errors.ts";
import { kernelsWasm, unsharedKernelsWasm } from "./kernelsWasm.ts";

/** Bytes of float32 that are worked on at a time: they stay in a core's cache. */
export const blockBytes = 256 * 1024;

/** The functions of kernels.wat.mjs; addresses and lengths in bytes. */
interface Exports {
  readonly memory: { readonly buffer: SharedArrayBuffer; grow(pages: number): number };
  add(target: number, source: number, length: number): void;
  sumOf(target: number, a: number, b: number, length: number): void;
  settleNaNs(at: number, length: number): void;
  encodeBfloat16(target: number, source: number, length: number): void;
  decodeBfloat16(target: number, source: number, length: number): void;
  checksum(at: number, length: number): bigint;
  xxh3(at: number, length: number): bigint;
}

/** What this file needs of the global that Node has and its type declarations have not. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Exports };
};

const instantiate = (wasm: string) =>
  new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(wasm, "base64"))).exports;

const exports = instantiate(kernelsWasm);

/**
 * The same loops on the `scratch` blocks of a memory that is not shared between threads, for vectors that are not in the
 * kernels' memory: copying in and out of shared memory takes V8 several times as long.
 */
export const aside = instantiate(unsharedKernelsWasm);

/** The memory of `aside`, which never grows. */
export const asideMemory = new Uint8Array(aside.memory.buffer);

/** Loops over vectors in `memory`; all but `add` go on to a whole number of 32 bytes. */
export const { add, sumOf, settleNaNs, encodeBfloat16, decodeBfloat16 } = exports;

/** Where `sumOf` leaves them. */
const checksums = new BigUint64Array(exports.memory.buffer, 32, 2);

const pageBytes = 64 * 1024;
const maxPages = 65536;

/** The kernels' memory up to its present end. Earlier views stay valid: the memory is shared and only grows. */
export function kernelMemory(): Uint8Array {
  return new Uint8Array(exports.memory.buffer);
}

/** The checksums of `b` and of `target`, of a call to `sumOf` that has just ended. */
export function checksumsOfSum(): { readonly addend: bigint; readonly sum: bigint } {
  return { addend: checksums[0]!, sum: checksums[1]! };
}

/** A quick checksum of bytes in the kernels' memory, any number of them; it finds accidents, not attacks. */
export function checksumAt(address: number, length: number): bigint {
  return BigInt.asUintN(64, exports.checksum(address, length));
}

/** Addresses of four blocks that every caller may use as long as it does not wait for anything. */
export const scratch = [1, 2, 3, 4].map((block) => pageBytes + (block - 1) * (blockBytes + pageBytes)) as [
  number,
  number,
  number,
  number,
];

/** Takes memory for good: its address, a multiple of 64 KiB. Throws LIMIT_EXCEEDED beyond 4 GiB. */
export function reserve(bytes: number): number {
  const pages = Math.ceil(bytes / pageBytes) + 1;
  const at = kernelMemory().byteLength;
  if (at / pageBytes + pages > maxPages) {
    throw new CoordError("LIMIT_EXCEEDED", `${bytes} bytes of gradients do not fit the 4 GiB of the kernels' memory.`);
  }
  exports.memory.grow(pages);
  return at;
}

/** XXH3's kernel is for more than this many bytes. */
const shortBytes = 240;
const shortHasher = await createXXHash3();

/** XXH3 (64 bits, seed 0) of bytes in the kernels' memory; at most `blockBytes`. */
export function digestAt(address: number, length: number): bigint {
  if (length > shortBytes) return BigInt.asUintN(64, exports.xxh3(address, length));
  return shortDigest(kernelMemory().subarray(address, address + length));
}

/** The same of bytes anywhere else. */
export function digestOf(bytes: Uint8Array): bigint {
  if (bytes.byteLength <= shortBytes) return shortDigest(bytes);
  asideMemory.set(bytes, scratch[0]);
  return BigInt.asUintN(64, aside.xxh3(scratch[0], bytes.byteLength));
}

function shortDigest(bytes: Uint8Array): bigint {
  return BigInt(`0x${shortHasher.init().update(Uint8Array.from(bytes)).digest("hex")}`);
}
