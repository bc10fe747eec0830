import { createRequire } from "node:module";

/** A file's pages in this process. Its bytes must not be touched after `unmap`. */
export interface Mapping {
  readonly bytes: Uint8Array;
  unmap(): void;
}

/** The part of koffi that is used here; it is an optional dependency. */
interface ForeignFunctions {
  load(library: string): { func(prototype: string): (...args: unknown[]) => unknown };
  view(pointer: unknown, length: number): ArrayBuffer;
  address(pointer: unknown): bigint;
}

const mapFailed = 0xffff_ffff_ffff_ffffn;
const [readAndWrite, shared] = [3, 1];
const foreign = load();

/** True where files can be mapped. */
export const canMap = foreign !== undefined;

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
    };
  } catch {
    // Not installed, no binary for this platform, or another C library: system calls do as well, only slower.
    return undefined;
  }
}
