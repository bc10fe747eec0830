import { closeSync } from "node:fs";
import { reserve } from "../kernels/kernels.ts";
import { allocateFile, mapInPlace, unmapInPlace } from "./mapping.ts";
import { openRegionFile } from "./region.ts";

const pageBytes = 64 * 1024;

/** Addresses in the kernels' memory at which files of shared memory appear, one after the other. */
export class InPlaceRegion {
  #address: number | undefined;
  #reserved = 0;
  #mapped: { readonly path: string; readonly bytes: number } | undefined;

  /** Where the first `bytes` bytes of the file are; makes it where there is none. Throws when there is no memory. */
  map(path: string, bytes: number): number {
    const length = Math.max(1, Math.ceil(bytes / pageBytes)) * pageBytes;
    if (this.#mapped?.path === path && this.#mapped.bytes >= length) return this.#address!;
    if (this.#address === undefined || this.#reserved < length) {
      this.unmap();
      this.#address = reserve(length);
      this.#reserved = length;
    }
    const file = openRegionFile(path);
    try {
      allocateFile(file, length);
      mapInPlace(file, this.#address, length);
    } finally {
      // A mapping holds its file by itself.
      closeSync(file);
    }
    this.#mapped = { path, bytes: length };
    return this.#address;
  }

  /** Lets the file's memory go; the address is kept for the next. */
  unmap(): void {
    if (this.#mapped) unmapInPlace(this.#address!, this.#mapped.bytes);
    this.#mapped = undefined;
  }
}
