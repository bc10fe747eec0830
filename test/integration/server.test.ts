import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordinatorServer } from "../../coordinator/server.ts";
import { CoordError } from "../../shared/errors.ts";
import { RunService, RunState } from "../../shared/gen/coord/v1/run_pb.ts";
import { createLogger } from "../../shared/log.ts";
import { Connection } from "../../shared/rpc/client.ts";

const token = "the-right-token-for-this-run";

describe("the coordinator's server", () => {
  let server: CoordinatorServer;
  let address: string;
  let stops = 0;
  beforeAll(async () => {
    server = new CoordinatorServer(
      { worker: "worker", viewer: "viewer", admin: token },
      createLogger("test"),
      undefined,
    );
    server.add(RunService, {
      getStatus: async () => ({ status: { runId: "r", state: RunState.TRAINING } }),
      async *watch({ from }) {
        yield { status: { runId: "r" } };
        if (from === 99n) throw new CoordError("OUTPUT_IN_USE", "Der Ausgang gehört einem anderen: 输出目录。");
        if (from === 98n) throw new Error("a secret of the implementation");
      },
      stop: async () => {
        stops++;
        return {};
      },
      saveCheckpoint: async () => ({ step: 0n }),
      set: async () => ({}),
      async *profile() {},
    });
    address = `127.0.0.1:${await server.listen("127.0.0.1", 0)}`;
  });
  afterAll(() => server.close(0));

  const connect = (bearer: string, to = address) => {
    const connection = new Connection({ address: to, token: bearer });
    return { connection, run: connection.service(RunService) };
  };

  it("answers who has the run's token", async () => {
    const { connection, run } = connect(token);
    const { status } = await run.getStatus({});
    expect(status).toMatchObject({ runId: "r", state: RunState.TRAINING });
    connection.close();
  });

  it.each(["", "wrong", `${token}x`, token.slice(1)])("refuses every call with the token %j", async (bearer) => {
    const { connection, run } = connect(bearer);
    await expect(run.getStatus({})).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await expect(run.stop({ now: true })).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    const watching = (async () => {
      for await (const _ of run.watch({ from: 0n })) throw new Error("nothing should come");
    })();
    await expect(watching).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    expect(stops).toBe(0);
    connection.close();
  });

  it("lets probes ask for its health without a token", async () => {
    const client = new Client(address, credentials.createInsecure());
    const reply = await new Promise<Buffer>((resolve, reject) =>
      client.makeUnaryRequest(
        "/grpc.health.v1.Health/Check",
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.alloc(0),
        new Metadata(),
        (error, response) => (error ? reject(error) : resolve(response!)),
      ),
    );
    // HealthCheckResponse { status: SERVING }
    expect([...reply]).toEqual([8, 1]);
    client.close();
  });

  it("hands catalogue errors over with code and words, and keeps others to itself", async () => {
    const { connection, run } = connect(token);
    const watch = async (from: bigint) => {
      for await (const _ of run.watch({ from }));
    };
    await expect(watch(99n)).rejects.toMatchObject({
      code: "OUTPUT_IN_USE",
      message: expect.stringContaining("输出目录"),
    });
    await expect(watch(98n)).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.not.stringContaining("secret"),
    });
    connection.close();
  });

  it("is not mistaken for a stranger that listens at its address", async () => {
    const stranger = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
    await new Promise((resolve) => stranger.once("listening", resolve));
    const port = (stranger.address() as AddressInfo).port;
    const { connection, run } = connect(token, `127.0.0.1:${port}`);
    const failure: CoordError = await run.getStatus({}, { timeoutMs: 3000 }).then(
      () => expect.unreachable(),
      (thrown: CoordError) => thrown,
    );
    expect(failure.code).toBe("PORT_UNAVAILABLE");
    expect(failure.message).toContain(`127.0.0.1:${port} is not a coord coordinator`);
    connection.close();
    stranger.close();
  });
});
