import { createHash } from "node:crypto";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ModelFile } from "./messages.ts";

/** Bytes at each end of a large file that are hashed: whole weights would take minutes on every start. */
const endBytes = 1024 * 1024;

/** Names, sizes and digests of the files of a model directory, so that two hosts can be compared. Throws the system's errors. */
export async function describeModel(directory: string): Promise<ModelFile[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries.filter((entry) => /\.(json|safetensors|model|txt)$/.test(entry.name)).map(({ name }) => name);
  return Promise.all(names.sort().map((name) => describeFile(directory, name)));
}

async function describeFile(directory: string, name: string): Promise<ModelFile> {
  const file = await open(join(directory, name));
  try {
    const { size } = await file.stat();
    const hash = createHash("sha256");
    const parts =
      size <= 2 * endBytes
        ? [[0, size]]
        : [
            [0, endBytes],
            [size - endBytes, endBytes],
          ]; // prettier-ignore
    for (const [position, length] of parts as [number, number][]) {
      const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(length), position });
      hash.update(buffer.subarray(0, bytesRead));
    }
    return { name, bytes: size, digest: hash.digest("hex") };
  } finally {
    await file.close();
  }
}
