import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { randomKey, randomUint32 } from "../../shared/rng.ts";
import { narrowerOf } from "../../shared/tensors/dtype.ts";
import { encodeHeader } from "../../shared/tensors/encodeHeader.ts";
import { elementCount } from "../../shared/tensors/layout.ts";
import { buildModel } from "../../worker/model/model.ts";
import { tinyLora } from "./tinyModel.ts";

/** Bytes of a shard at most, unless one tensor alone is larger. */
const shardBytes = 2 * 2 ** 30;
/** Values in a row that come from one place of the pool. */
const stretch = 2 ** 18;

/**
 * Writes config.json and sharded .safetensors of random weights, a pure function of the seed, without ever holding more
 * than a few MiB: values are stretches of one random pool, which is quick enough for billions.
 */
export async function writeLargeModel(
  directory: string,
  config: object,
  dtype: "F32" | "BF16",
  seed = 1,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "config.json"), JSON.stringify(config, undefined, 2));
  const { frozen } = buildModel(config, "config.json", { ...tinyLora, targetModules: ["all-linear"] });
  const size = dtype === "F32" ? 4 : 2;
  const tensors = [...frozen].map(([name, shape]) => ({ name, dtype, shape, bytes: size * elementCount(shape) }));
  const shards: (typeof tensors)[] = [[]];
  for (const tensor of tensors) {
    const held = shards.at(-1)!.reduce((total, { bytes }) => total + bytes, 0);
    if (held > 0 && held + tensor.bytes > shardBytes) shards.push([]);
    shards.at(-1)!.push(tensor);
  }
  const pool = encode(randomPool(seed), dtype);
  const nameOf = (shard: number) =>
    shards.length === 1 ? "model.safetensors" : `model-${shard + 1}-of-${shards.length}.safetensors`;
  for (const [index, shard] of shards.entries()) {
    const file = await open(join(directory, nameOf(index)), "wx");
    try {
      await file.writeFile(encodeHeader(shard, { format: "pt" }));
      for (const { name, shape, bytes } of shard)
        await writeTensor(file, pool, { dtype, name, shape, elements: bytes / size });
    } finally {
      await file.close();
    }
  }
  if (shards.length === 1) return;
  const weightMap = Object.fromEntries(
    shards.flatMap((shard, index) => shard.map(({ name }) => [name, nameOf(index)])),
  );
  await writeFile(join(directory, "model.safetensors.index.json"), JSON.stringify({ weight_map: weightMap }));
}

/** Matrices small around zero, norms one, biases zero. */
async function writeTensor(
  file: Awaited<ReturnType<typeof open>>,
  pool: Uint8Array,
  { dtype, elements, name, shape }: { dtype: string; elements: number; name: string; shape: readonly number[] },
): Promise<void> {
  if (shape.length === 1) {
    await file.writeFile(encode(new Float32Array(elements).fill(name.endsWith("bias") ? 0 : 1), dtype));
    return;
  }
  const key = randomKey("large model", name);
  const size = pool.length / (2 * stretch);
  for (let at = 0, part = 0; at < elements; at += stretch, part++) {
    const start = size * (randomUint32(key, part) % stretch);
    await file.writeFile(pool.subarray(start, start + size * Math.min(stretch, elements - at)));
  }
}

function randomPool(seed: number): Float32Array {
  const key = randomKey("large model", seed);
  const pool = new Float32Array(2 * stretch);
  // Sums of uniform values: bell-shaped, as trained weights are, with a standard deviation of about 0.02.
  for (let i = 0; i < pool.length; i++) {
    let sum = 0;
    for (let draw = 0; draw < 4; draw++) sum += randomUint32(key, 4 * i + draw) / 2 ** 32 - 0.5;
    pool[i] = 0.035 * sum;
  }
  return pool;
}

function encode(values: Float32Array, dtype: string): Uint8Array {
  const bytes = new Uint8Array(values.length * (dtype === "F32" ? 4 : 2));
  narrowerOf(dtype)?.(values, bytes);
  return bytes;
}
