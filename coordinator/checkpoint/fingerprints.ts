import { createHash } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { basename, join } from "node:path";
import type { RunConfig } from "../../shared/config/schema.ts";
import { packageVersion } from "../../shared/process/packageVersion.ts";
import { shardPaths } from "../../shared/tensors/modelFiles.ts";

/** What a checkpoint says about what it was made from and with. */
export type Fingerprints = Readonly<Record<string, string>>;

/** Bytes at the beginning of a weights file, where its header is, and at its end that stand for the whole file. */
const sampleBytes = 64 * 1024;

/** Of a run on this host; `dataset` is the content key of its data set. */
export async function fingerprintsOf(config: RunConfig, dataset: string): Promise<Fingerprints> {
  return {
    dataset,
    model: await modelFingerprint(config.model!),
    threads: String(config.threadsPerWorker),
    engine: `${config.engine} on ${config.device}`,
    coord: packageVersion(),
    node: process.version,
    arch: process.arch,
    platform: process.platform,
    processor: cpus()[0]?.model.trim() || "unknown",
  };
}

/**
 * SHA-256 of a base model's config.json, and of size, beginning and end of each weights file: enough to tell models and
 * fine-tuned versions of one apart without reading gigabytes. Wherever the directory is, it is the same.
 */
export async function modelFingerprint(directory: string): Promise<string> {
  const hash = createHash("sha256").update(await readFile(join(directory, "config.json")));
  for (const path of await shardPaths(directory)) {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      hash.update(`\0${basename(path)}\0${size}\0`);
      for (const at of [0, Math.max(sampleBytes, size - sampleBytes)]) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(sampleBytes), 0, sampleBytes, at);
        hash.update(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  }
  return hash.digest("hex");
}

/** A clause for each thing that may change the bits of a result and is not what it was; other releases do not count. */
export function differences(then: Fingerprints, now: Fingerprints): string[] {
  return ["threads", "engine", "processor", "arch", "platform"].flatMap((key) => {
    const [before, after] = [then[key], now[key]];
    return before === undefined || after === undefined || before === after ? [] : [`${key} ${before}, now ${after}`];
  });
}
