import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { CoordError, type ErrorCode } from "../errors.ts";
import { bytesOfFloat32 } from "./bytes.ts";
import { widenerOf } from "./dtype.ts";
import { encodeHeader } from "./encodeHeader.ts";
import { elementCount } from "./layout.ts";
import {
  headerLength,
  parseHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
  SafetensorsProblem,
} from "./safetensorsHeader.ts";

/** An open safetensors file. Tensors are read on demand; the caller closes it. */
export interface SafetensorsFile {
  readonly path: string;
  /** In the order of the file's data. */
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** The tensor's values, row-major. F16 and BF16 are widened exactly; other types than F32 are refused. */
  readFloat32(name: string): Promise<Float32Array>;
  /** Fills `target` with the tensor's values from number `from` on, widened likewise. */
  fillFloat32(name: string, target: Float32Array, from?: number): Promise<void>;
  /** The tensor's raw little-endian bytes, or those from `from` (0 is its first) up to `to`. */
  readBytes(name: string, from?: number, to?: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Which kind of error a damaged file is to the caller. */
export interface OpenSafetensorsOptions {
  readonly code?: Extract<ErrorCode, "MODEL_INVALID" | "CHECKPOINT_INVALID" | "ADAPTER_INVALID">;
}

/**
 * Opens a safetensors file and checks its whole header against the file's size, trusting nothing in it. Throws
 * CoordError with `code` (default MODEL_INVALID) that names the file and what is wrong; so do the reads.
 */
export async function openSafetensors(path: string, options: OpenSafetensorsOptions = {}): Promise<SafetensorsFile> {
  const code = options.code ?? "MODEL_INVALID";
  const handle = await openRegularFile(path, code);
  try {
    const { size } = await handle.stat();
    const prefix = await readRange(handle, new Uint8Array(Math.min(8, size)), 0);
    const header = await readRange(handle, new Uint8Array(headerLength(prefix, size)), 8);
    return openFile(path, code, handle, parseHeader(header, size));
  } catch (thrown) {
    await handle.close();
    throw damaged(path, code, thrown);
  }
}

/** A float32 tensor to be written, row-major. */
export interface TensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A safetensors file as one byte string: the same tensors, in the same order, always give the same bytes. */
export function encodeSafetensors(
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const parts = safetensorsParts(tensors, metadata);
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** The same bytes in pieces, the tensors' own memory among them, so that a large file needs no second copy. */
export function safetensorsParts(
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array[] {
  const names = new Set(["__metadata__"]);
  for (const { name, shape, data } of tensors) {
    if (names.has(name)) throw new CoordError("INTERNAL", `Two tensors have the name ${JSON.stringify(name)}.`);
    names.add(name);
    if (elementCount(shape) !== data.length) {
      throw new CoordError("INTERNAL", `Tensor ${name} of shape [${shape}] was given ${data.length} values.`);
    }
  }
  const announced = tensors.map(({ name, shape, data }) => ({ name, dtype: "F32", shape, bytes: data.byteLength }));
  return [encodeHeader(announced, metadata), ...tensors.map(({ data }) => bytesOfFloat32(data))];
}

function openFile(
  path: string,
  code: ErrorCode,
  handle: FileHandle,
  { entries, metadata }: SafetensorsHeader,
): SafetensorsFile {
  const entryOf = (name: string): SafetensorsEntry => {
    const entry = entries.get(name);
    if (!entry) throw new SafetensorsProblem(`it has no tensor ${JSON.stringify(name)}`);
    return entry;
  };
  const guarded = async <Result>(read: () => Promise<Result>): Promise<Result> => {
    try {
      return await read();
    } catch (thrown) {
      throw damaged(path, code, thrown);
    }
  };
  return {
    path,
    entries,
    metadata,
    readFloat32: (name) =>
      guarded(async () => {
        const entry = entryOf(name);
        const values = new Float32Array(elementCount(entry.shape));
        await fillFloat32(handle, name, entry, values, 0);
        return values;
      }),
    fillFloat32: (name, target, from = 0) => guarded(() => fillFloat32(handle, name, entryOf(name), target, from)),
    readBytes: (name, from = 0, to) =>
      guarded(async () => {
        const { start, end } = entryOf(name);
        return readRange(handle, new Uint8Array((to ?? end - start) - from), start + from);
      }),
    close: () => handle.close(),
  };
}

async function fillFloat32(
  handle: FileHandle,
  name: string,
  { dtype, end, start }: SafetensorsEntry,
  target: Float32Array,
  from: number,
): Promise<void> {
  const widen = widenerOf(dtype);
  if (!widen && dtype !== "F32") {
    throw new SafetensorsProblem(`tensor ${JSON.stringify(name)} has dtype ${dtype}, not F32, F16 or BF16`);
  }
  const size = widen ? 2 : 4;
  const first = start + from * size;
  if (first + target.length * size > end) {
    throw new SafetensorsProblem(`tensor ${JSON.stringify(name)} has no ${target.length} values from ${from} on`);
  }
  if (!widen) {
    await readRange(handle, bytesOfFloat32(target), first);
    return;
  }
  // In pieces, so that a large tensor is not held twice.
  const piece = spare ?? new Uint8Array(size * valuesPerPiece);
  // Until it is back, others that read meanwhile get a piece of their own.
  spare = undefined;
  for (let at = 0; at < target.length; at += valuesPerPiece) {
    const values = target.subarray(at, at + valuesPerPiece);
    widen(await readRange(handle, piece.subarray(0, size * values.length), first + size * at), values);
  }
  spare = piece;
}

const valuesPerPiece = 1024 * 1024;
/** Kept from call to call: a model that is read layer by layer would leave tens of MiB of them to the garbage collector. */
let spare: Uint8Array | undefined;

/** O_NONBLOCK: opening a FIFO that nobody writes to must not hang before we can see that it is one. */
async function openRegularFile(path: string, code: ErrorCode): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    const errno = (thrown as NodeJS.ErrnoException).code;
    if (errno === "ENOENT") throw new CoordError(code, `There is no file ${path}.`, { cause: thrown });
    throw damaged(path, code, thrown);
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new CoordError(code, `${path} is not a regular file; a .safetensors file is needed.`);
}

/** Fills `target` from `position`; a single read is limited to 2 GiB and may return less than asked for. */
async function readRange(handle: FileHandle, target: Uint8Array, position: number): Promise<Uint8Array> {
  for (let filled = 0; filled < target.length; ) {
    const length = Math.min(target.length - filled, 1 << 30);
    const { bytesRead } = await handle.read(target, filled, length, position + filled);
    if (bytesRead === 0) {
      const wanted = position + target.length;
      throw new SafetensorsProblem(
        `expected at least ${wanted} bytes, file has ${position + filled}: it was truncated`,
      );
    }
    filled += bytesRead;
  }
  return target;
}

function damaged(path: string, code: ErrorCode, thrown: unknown): CoordError {
  if (thrown instanceof CoordError) return thrown;
  const message = (thrown as Error).message;
  if (thrown instanceof SafetensorsProblem) {
    return new CoordError(code, `${path} cannot be used: ${message}. Copy or download it again.`, { cause: thrown });
  }
  if (thrown instanceof RangeError) {
    return new CoordError(code, `${path} has a tensor too large for this host's memory (${message}).`, {
      cause: thrown,
    });
  }
  return new CoordError("STORAGE_FAILED", `${path} cannot be read: ${message}.`, { cause: thrown });
}
