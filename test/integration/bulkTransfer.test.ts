import { once } from "node:events";
import { connect, createServer, type Http2Session } from "node:http2";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { CollectiveService } from "../../shared/gen/coord/v1/collective_pb.ts";
import { ChunkAssembler, checkDigest, cutIntoChunks } from "../../shared/rpc/chunks.ts";
import { receiveWindowBytes, serverLimits } from "../../shared/rpc/limits.ts";
import { setReceiveWindow } from "../../shared/rpc/receiveWindow.ts";
import { addService } from "../../shared/rpc/server.ts";
import { bytesOfFloat32 } from "../../shared/tensors/bytes.ts";
import { digest64 } from "../../shared/tensors/digest.ts";
import { CoordinatorClient } from "../../worker/collective/coordinatorClient.ts";

const bulkBytes = 64 * 1024 ** 2;

describe("bulk transfers", () => {
  it("hang where both ways share a connection with wide windows, which is why ours do not", async () => {
    const settings = { initialWindowSize: bulkBytes };
    const widen = (session: Http2Session) => session.setLocalWindowSize(bulkBytes);
    const server = createServer({ settings });
    let received = 0;
    const count = (data: Buffer) => {
      received += data.length;
    };
    server.on("session", widen);
    server.on("stream", (stream) => {
      stream.on("error", () => {}).on("data", count);
      stream.respond();
      pour(stream);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = connect(`http://127.0.0.1:${portOf(server.address())}`, { settings });
    client.on("error", () => {});
    await once(client, "connect");
    widen(client);
    // Both must know each other's window before they pour.
    await once(client, "remoteSettings");
    const stream = client.request({ ":method": "POST" });
    stream.on("error", () => {}).on("data", count);
    pour(stream);
    try {
      expect(await standsStill(() => received)).toBeLessThan(2 * bulkBytes);
    } finally {
      client.destroy();
      server.close();
    }
  });

  it("go both ways at once over our connections, whole", async () => {
    const sum = bytesOfFloat32(new Float32Array(bulkBytes / 4).fill(3));
    let held: Uint8Array | undefined;
    const server = new Server(serverLimits);
    setReceiveWindow(server, receiveWindowBytes);
    addService(
      server,
      CollectiveService,
      {
        async contribute(requests) {
          let assembler: ChunkAssembler | undefined;
          let digest = 0n;
          for await (const { part } of requests) {
            if (part.case === "header") {
              digest = part.value.digest;
              assembler = new ChunkAssembler(new Uint8Array(Number(part.value.bytes)));
            } else if (part.case === "chunk") assembler!.add(part.value);
          }
          checkDigest(assembler!.digest(), digest, "The upload");
          held = assembler!.bytes;
          return {};
        },
        async *fetch() {
          const header = { bytes: BigInt(bulkBytes), digest: digest64(sum), loss: { sum: 1, tokens: 1n } };
          yield { part: { case: "header" as const, value: header } };
          for (const value of cutIntoChunks(sum)) yield { part: { case: "chunk" as const, value } };
        },
        async *reduce() {},
        evaluate: async () => ({}),
      },
      (_, thrown) => expect.fail(String(thrown)),
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    const caller = { runId: "run", workerId: "0/0", incarnation: "one" };
    const client = new CoordinatorClient({ address: `127.0.0.1:${port}`, token: "token" }, caller);
    const { signal } = new AbortController();
    const share = { generation: 1n, signal, slots: [0], rank: 0, worldSize: 1, slotCount: 1, groupSize: 1 };
    const reduction = client.allReduce(1, share, bulkBytes / 4);
    const gradient = reduction.gradient().fill(5);
    try {
      const upload = { slot: 0, gradient, loss: { sum: 1, tokens: 1 }, inputTokens: 1 };
      const [fetched] = await Promise.all([reduction.sum(), reduction.add(upload)]);
      expect(Buffer.compare(bytesOfFloat32(fetched.gradient), sum)).toBe(0);
      expect(Buffer.compare(held!, bytesOfFloat32(gradient))).toBe(0);
    } finally {
      client.close();
      server.forceShutdown();
    }
  }, 60_000);

  it("may run ahead of the server by the whole window", async () => {
    const server = new Server(serverLimits);
    setReceiveWindow(server, receiveWindowBytes);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    const session = connect(`http://127.0.0.1:${port}`);
    try {
      await new Promise<void>((resolve) => {
        session.on("remoteSettings", ({ initialWindowSize }) => initialWindowSize === receiveWindowBytes && resolve());
      });
      // The window of the connection comes in a frame of its own, before the answer to a ping.
      await new Promise((resolve) => session.ping(resolve));
      expect(session.state.remoteWindowSize).toBe(receiveWindowBytes);
    } finally {
      session.destroy();
      server.forceShutdown();
    }
  });
});

/** Writes without end and without waiting for the reader, as two sides of an all-reduce would. */
function pour(stream: NodeJS.WritableStream): void {
  const chunk = Buffer.alloc(1024 ** 2);
  for (let sent = 0; sent < bulkBytes; sent += chunk.length) stream.write(chunk);
  stream.end();
}

/** The value once it has not changed for two seconds. */
async function standsStill(value: () => number): Promise<number> {
  for (let before = -1; before !== value(); ) {
    before = value();
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
  return value();
}

function portOf(address: unknown): number {
  return (address as { port: number }).port;
}
