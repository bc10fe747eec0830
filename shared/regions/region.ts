import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from "node:fs";
import { CoordError } from "../errors.ts";
import { blockBytes, kernelMemory } from "../kernels/kernels.ts";
import { type Mapping, mapFile } from "./mapping.ts";

/**
 * A file in shared memory, from and to which bytes of the kernels' memory are copied: through a mapping where the
 * foreign function interface loads, otherwise by system calls.
 */
export class Region {
  readonly #file: number;
  readonly #mapped: boolean;
  #mapping: Mapping | undefined;

  constructor(
    private readonly path: string,
    { mapped }: { readonly mapped: boolean },
  ) {
    this.#mapped = mapped;
    this.#file = openRegionFile(path);
  }

  /** Gives the file at least this length, with memory behind it. Throws ENOSPC where there is not enough. */
  extend(bytes: number): void {
    // Written, not only said: a page that is not to be had when it is first touched would end the process by SIGBUS.
    const zeros = new Uint8Array(blockBytes);
    for (let at = fstatSync(this.#file).size; at < bytes; ) {
      at += writeSync(this.#file, zeros, 0, Math.min(blockBytes, bytes - at), at);
    }
  }

  /** Copies bytes of the kernels' memory to a place in the file that is already there. */
  write(address: number, length: number, offset: number): void {
    const mapping = this.#map(offset + length);
    if (mapping) {
      mapping.bytes.set(kernelMemory().subarray(address, address + length), offset);
      return;
    }
    for (let done = 0; done < length; ) {
      done += writeSync(this.#file, kernelMemory(), address + done, length - done, offset + done);
    }
  }

  /** Copies bytes of the file into the kernels' memory. */
  read(address: number, length: number, offset: number): void {
    const mapping = this.#map(offset + length);
    if (mapping) {
      kernelMemory().set(mapping.bytes.subarray(offset, offset + length), address);
      return;
    }
    for (let done = 0; done < length; ) {
      const count = readSync(this.#file, kernelMemory(), address + done, length - done, offset + done);
      if (count === 0) throw new Error(`The region ${this.path} is shorter than was said.`);
      done += count;
    }
  }

  close(): void {
    this.#mapping?.unmap();
    this.#mapping = undefined;
    closeSync(this.#file);
  }

  /** The mapping, if there is one, of at least `bytes`. */
  #map(bytes: number): Mapping | undefined {
    if (!this.#mapped || bytes === 0) return undefined;
    if (this.#mapping && this.#mapping.bytes.byteLength >= bytes) return this.#mapping;
    const { size } = fstatSync(this.#file);
    if (size < bytes) throw new Error(`The region ${this.path} is shorter than was said.`);
    this.#mapping?.unmap();
    this.#mapping = undefined;
    this.#mapping = mapFile(this.#file, size);
    return this.#mapping;
  }
}

/** Opens a file, and makes it where there is none; refuses links and whatever is not a plain file. */
export function openRegionFile(path: string): number {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = openSync(path, flags, 0o600);
  if (fstatSync(file).isFile()) return file;
  closeSync(file);
  throw new CoordError("INVALID_REQUEST", `The region ${path} is not a file.`);
}
