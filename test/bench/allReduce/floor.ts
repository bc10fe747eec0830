import { once } from "node:events";
import { createConnection } from "node:net";
import { fileURLToPath } from "node:url";
import { median } from "../statistics.ts";
import { Rank } from "./rankGroup.ts";

const mebibyte = 1024 ** 2;
const repetitions = 9;

/** What the host moves at best, in bytes per second. */
export interface Bandwidth {
  /** One TCP connection between two Node processes over loopback, one way. */
  readonly loopback: number;
  /** Copying float32 between two buffers of 16 MiB; read and written bytes both count. */
  readonly memory: number;
}

export async function measureBandwidth(signal: AbortSignal): Promise<Bandwidth> {
  return { loopback: await loopbackBandwidth(signal), memory: memoryBandwidth() };
}

/**
 * The time that moving and adding the bytes of a round takes at least, in milliseconds, when one process holds the sum:
 * every worker's vector comes in over loopback, the sum goes out to every worker, both of `wireBytes`, and each addition
 * reads two vectors and writes one.
 */
export function reduceFloorMs(
  bytes: number,
  workers: number,
  { loopback, memory }: Bandwidth,
  wireBytes = bytes,
): number {
  return ((2 * workers * wireBytes) / loopback + (3 * (workers - 1) * bytes) / memory) * 1000;
}

/** The same when the vectors stay where they are: each is read once, and the sum written. */
export function sharedFloorMs(bytes: number, workers: number, { memory }: Bandwidth): number {
  return (((workers + 1) * bytes) / memory) * 1000;
}

async function loopbackBandwidth(signal: AbortSignal): Promise<number> {
  const blockBytes = 256 * mebibyte;
  const chunk = Buffer.alloc(mebibyte);
  const file = fileURLToPath(new URL("loopbackSink.js", import.meta.url));
  const sink = new Rank({ file: process.execPath, args: [file, String(blockBytes)], env: {} }, signal);
  const socket = createConnection(Number(await sink.line()), "127.0.0.1");
  await once(socket, "connect");
  const rates: number[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const begin = performance.now();
    const received = once(socket, "data");
    for (let sent = 0; sent < blockBytes; sent += chunk.length) {
      if (!socket.write(chunk)) await once(socket, "drain");
    }
    await received;
    rates.push((blockBytes * 1000) / (performance.now() - begin));
  }
  socket.destroy();
  await sink.close();
  return median(rates);
}

function memoryBandwidth(): number {
  const from = new Float32Array((16 * mebibyte) / 4).fill(1);
  const to = new Float32Array(from.length);
  const rates: number[] = [];
  for (let repetition = 0; repetition < repetitions; repetition++) {
    const begin = performance.now();
    for (let copy = 0; copy < 10; copy++) to.set(from);
    rates.push((20 * from.byteLength * 1000) / (performance.now() - begin));
  }
  return median(rates);
}
