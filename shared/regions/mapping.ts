import { createRequire } from "node:module";
import { CoordError } from "../errors.ts";
import { kernelMemory } from "../kernels/kernels.ts";

/** A file's pages in this process. Its bytes must not be touched after `unmap`. */
export interface Mapping {
  readonly bytes: Uint8Array;
  unmap(): void;
}

type Foreign = ((...args: unknown[]) => unknown) & { async(...args: unknown[]): void };

/** The part of koffi that is used here; it is an optional dependency. */
interface ForeignFunctions {
  load(library: string): { func(prototype: string): Foreign };
  view(pointer: unknown, length: number): ArrayBuffer;
  address(pointer: unknown): bigint;
}

const mapFailed = 0xffff_ffff_ffff_ffffn;
const readAndWrite = 3;
const [shared, priv, fixed, anonymous, populate] = [1, 2, 0x10, 0x20, 0x8000];
const noSpace = 28;
/** The number of the system call; absent where this program does not know it. */
const futexCall = { x64: 202, arm64: 98 }[process.arch as string];
const [futexWait, futexWake] = [0, 1];
const foreign = load();

/** True where files can be mapped. */
export const canMap = foreign !== undefined;

/** True where the pages of files can be had in the kernels' memory, and processes can wake each other by them. */
export const canMapInPlace = foreign !== undefined && futexCall !== undefined;

/** Maps the first `length` bytes of an open file, which must have them. Only where `canMap`. */
export function mapFile(file: number, length: number): Mapping {
  if (!foreign) throw new Error("This process cannot map files.");
  const pointer = foreign.mmap(null, length, readAndWrite, shared, file, 0);
  if (foreign.koffi.address(pointer) === mapFailed) throw new Error(`A file of ${length} bytes could not be mapped.`);
  return {
    bytes: new Uint8Array(foreign.koffi.view(pointer, length)),
    unmap: () => void foreign.munmap(pointer, length),
  };
}

/** Gives a file at least this length, with memory behind it, and leaves what it holds as it is. Throws ENOSPC. */
export function allocateFile(file: number, length: number): void {
  const failed = foreign!.posixFallocate(file, 0, length) as number;
  if (failed === 0) return;
  const full = failed === noSpace;
  throw new CoordError(
    full ? "LIMIT_EXCEEDED" : "INTERNAL",
    full ? `There is no space for ${length} bytes` : `${length} bytes could not be allocated (error ${failed})`,
  );
}

/**
 * Puts the first pages of a file, which must have them, in the place of pages of the kernels' memory: from then on the
 * kernels work on the file. Only where `canMapInPlace`; `address` is one that `reserve` gave.
 */
export function mapInPlace(file: number, address: number, length: number): void {
  replacePages(address, length, shared | fixed | populate, file);
}

/** Puts fresh private pages there again. */
export function unmapInPlace(address: number, length: number): void {
  replacePages(address, length, priv | fixed | anonymous, -1);
}

function replacePages(address: number, length: number, flags: number, file: number): void {
  const pages = kernelMemory().subarray(address, address + length);
  const pointer = foreign!.mmap(pages, length, readAndWrite, flags, file, 0);
  if (foreign!.koffi.address(pointer) === mapFailed) throw new Error(`${length} bytes could not be mapped.`);
}

/**
 * Waits in another thread until `wake` is called for the word at this address of the kernels' memory, in whatever
 * process; not at all when it does not hold `value` any more, and never longer than `timeoutMs`.
 */
export function waitForWake(address: number, value: number, timeoutMs: number): Promise<void> {
  const timeout = new BigInt64Array([BigInt(Math.floor(timeoutMs / 1000)), BigInt((timeoutMs % 1000) * 1_000_000)]);
  return new Promise((resolve) => {
    foreign!.syscall.async(futexCall, wordAt(address), futexWait, value >>> 0, timeout, null, 0, () => resolve());
  });
}

/** Wakes all who wait for the word. */
export function wake(address: number): void {
  foreign!.syscall(futexCall, wordAt(address), futexWake, 0x7fff_ffff, null, null, 0);
}

function wordAt(address: number): Uint8Array {
  return kernelMemory().subarray(address, address + 4);
}

function load() {
  if (process.platform !== "linux") return undefined;
  try {
    const koffi = createRequire(import.meta.url)("koffi") as ForeignFunctions;
    const library = koffi.load("libc.so.6");
    return {
      koffi,
      mmap: library.func(
        "void *mmap(void *address, size_t length, int protection, int flags, int file, int64_t offset)",
      ),
      munmap: library.func("int munmap(void *address, size_t length)"),
      posixFallocate: library.func("int posix_fallocate(int file, int64_t offset, int64_t length)"),
      syscall: library.func(
        "long syscall(long number, void *address, int operation, uint32_t value, void *timeout, void *address2, uint32_t value3)",
      ),
    };
  } catch {
    // Not installed, no binary for this platform, or another C library: system calls do as well, only slower.
    return undefined;
  }
}
