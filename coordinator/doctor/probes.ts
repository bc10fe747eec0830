import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { open, rm, stat, statfs } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { dirname, join, resolve } from "node:path";

const syncRounds = 5;
const syncBytes = 2 ** 20;

/** The directory itself, or the nearest one above it that exists. */
export async function existingParent(directory: string): Promise<string> {
  let path = resolve(directory);
  for (;;) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() || dirname(path) === path) return path;
    path = dirname(path);
  }
}

/** Bytes that an ordinary user may still write to the file system; undefined where there is none. */
export async function freeBytes(directory: string): Promise<number | undefined> {
  const facts = await statfs(directory).catch(() => undefined);
  return facts && facts.bavail * facts.bsize;
}

/** Median time to write and sync a small file in the directory, which is left as it was. */
export async function timeSync(directory: string): Promise<{ milliseconds: number } | { reason: string }> {
  const path = join(directory, `.coord-doctor-${randomBytes(6).toString("hex")}`);
  const times: number[] = [];
  try {
    const file = await open(path, "wx", 0o600);
    try {
      const data = randomBytes(syncBytes);
      for (let round = 0; round < syncRounds; round++) {
        const start = performance.now();
        await file.write(data, 0, syncBytes, 0);
        await file.sync();
        times.push(performance.now() - start);
      }
    } finally {
      await file.close();
      await rm(path, { force: true });
    }
  } catch (thrown) {
    return { reason: (thrown as Error).message };
  }
  return { milliseconds: times.sort((a, b) => a - b)[Math.floor(syncRounds / 2)]! };
}

/** Listens on a free port of the loopback address and connects to it. */
export async function bindLoopback(): Promise<{ port: number } | { reason: string }> {
  const server = createServer((socket) => socket.end());
  try {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const client = connect(port, "127.0.0.1");
    await once(client, "connect");
    client.destroy();
    return { port };
  } catch (thrown) {
    return { reason: (thrown as Error).message };
  } finally {
    server.close();
  }
}
