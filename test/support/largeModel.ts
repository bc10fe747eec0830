import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { randomKey, randomUint32 } from "../../shared/rng.ts";
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
  const pool = randomPool(seed);
  const nameOf = (shard: number) =>
    shards.length === 1 ? "model.safetensors" : `model-${shard + 1}-of-${shards.length}.safetensors`;
  for (const [index, shard] of shards.entries()) {
    const file = await open(join(directory, nameOf(index)), "wx");
    try {
      await file.writeFile(encodeHeader(shard, { format: "pt" }));
      for (const { name, shape, bytes } of shard)
        await writeTensor(file, pool, { name, shape, elements: bytes / size, size });
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
  pool: Float32Array,
  { elements, name, shape, size }: { elements: number; name: string; shape: readonly number[]; size: number },
): Promise<void> {
  const key = randomKey("large model", name);
  const values = new Float32Array(Math.min(elements, stretch));
  for (let at = 0, part = 0; at < elements; at += stretch, part++) {
    const piece = values.subarray(0, Math.min(stretch, elements - at));
    if (shape.length === 1) piece.fill(name.endsWith("bias") ? 0 : 1);
    else piece.set(pool.subarray(randomUint32(key, part) % stretch).subarray(0, piece.length));
    await file.writeFile(size === 4 ? new Uint8Array(piece.buffer, 0, piece.byteLength) : upperHalves(piece));
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

/** BF16: the upper half of a float32, cut off. */
function upperHalves(values: Float32Array): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return new Uint8Array(Uint16Array.from(bits, (value) => value >>> 16).buffer);
}
