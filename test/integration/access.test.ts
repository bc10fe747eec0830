import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { DescMethod } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rolesAllowedTo } from "../../coordinator/access.ts";
import { issueCertificates, type RunCertificates } from "../../coordinator/runs/issueCertificates.ts";
import { CoordinatorServer, type TlsIdentity } from "../../coordinator/server.ts";
import { CoordError } from "../../shared/errors.ts";
import { Role } from "../../shared/gen/coord/v1/access_pb.ts";
import { RunService } from "../../shared/gen/coord/v1/run_pb.ts";
import { createLogger } from "../../shared/log.ts";
import { Connection } from "../../shared/rpc/client.ts";
import type { Credentials } from "../../shared/rpc/credentials.ts";
import { allMethods, allServices } from "../support/services.ts";

const tokens = { worker: "w".repeat(43), viewer: "v".repeat(43), admin: "a".repeat(43) };
const reached: string[] = [];

/** A server with every service; each handler notes that it was reached. */
async function serve(tls: TlsIdentity | undefined, bearers = tokens) {
  const server = new CoordinatorServer(bearers, createLogger("test"), tls);
  for (const service of await allServices()) {
    const handlers = service.methods.map((method) => {
      const note = () => {
        reached.push(method.name);
        throw new CoordError("STOPPED", "Reached.");
      };
      // Methods of one response and of many want different shapes; neither ever gives one.
      const isStream = answersInStream(method);
      const stream = () => ({ [Symbol.asyncIterator]: () => ({ next: async () => note() }) });
      return [method.localName, isStream ? stream : async () => note()];
    });
    server.add(service, Object.fromEntries(handlers) as never);
  }
  return { server, port: await server.listen("127.0.0.1", 0) };
}

function answersInStream({ methodKind }: DescMethod): boolean {
  return methodKind === "server_streaming" || methodKind === "bidi_streaming";
}

async function* nothing(): AsyncGenerator<object> {}

/** Calls a method once and returns the code of its failure. */
async function call(method: DescMethod, address: string, credentials: Credentials): Promise<CoordError> {
  const connection = new Connection({ address, ...credentials });
  const service = connection.service(method.parent) as Record<string, (...args: unknown[]) => unknown>;
  const options = { timeoutMs: 4000 };
  try {
    const asksInStream = method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
    const answer = service[method.localName]!(asksInStream ? nothing() : {}, options);
    if (answersInStream(method)) for await (const _ of answer as AsyncIterable<unknown>);
    else await answer;
    return expect.unreachable("every handler throws");
  } catch (thrown) {
    if (!(thrown instanceof CoordError)) throw thrown;
    return thrown;
  } finally {
    connection.close();
  }
}

describe("who is let in", () => {
  let own: RunCertificates;
  let other: RunCertificates;
  let expired: RunCertificates;
  let plain: Awaited<ReturnType<typeof serve>>;
  let secure: Awaited<ReturnType<typeof serve>>;
  let methods: DescMethod[];

  beforeAll(async () => {
    own = await issueCertificates(["localhost", "127.0.0.1"]);
    other = await issueCertificates(["localhost", "127.0.0.1"]);
    expired = await issueCertificates(["localhost", "127.0.0.1"], { validForMs: -1000 });
    plain = await serve(undefined);
    secure = await serve({ ...own.server, clientCa: own.ca });
    methods = await allMethods();
  });
  afterAll(() => Promise.all([plain.server.close(0), secure.server.close(0)]));

  const everyMethod = async (address: string, credentials: (method: DescMethod) => Credentials | undefined) => {
    const codes: Record<string, string> = {};
    for (const method of methods) {
      const given = credentials(method);
      if (given) codes[method.name] = (await call(method, address, given)).code;
    }
    return codes;
  };
  const all = (code: string, of = methods) => Object.fromEntries(of.map(({ name }) => [name, code]));
  const tokenFor = (method: DescMethod) =>
    rolesAllowedTo(method).includes(Role.WORKER) ? tokens.worker : tokens.admin;
  const identity = () => ({ tlsCa: own.ca, identity: own.client });

  it("whoever has the token of a role that may call the method, in the clear and over TLS", async () => {
    const before = reached.length;
    expect(await everyMethod(`127.0.0.1:${plain.port}`, (m) => ({ token: tokenFor(m) }))).toEqual(all("STOPPED"));
    const overTls = await everyMethod(`localhost:${secure.port}`, (m) => ({ token: tokenFor(m), ...identity() }));
    expect(overTls).toEqual(all("STOPPED"));
    expect(reached.length - before).toBe(2 * methods.length);
  });

  describe("and nobody else", () => {
    let before: number;
    beforeAll(() => {
      before = reached.length;
    });
    afterAll(() => expect(reached.length, "no handler was reached").toBe(before));

    it.each([
      ["no token", ""],
      ["a wrong token", "x".repeat(43)],
      ["a token cut short", tokens.admin.slice(1)],
      ["two tokens at once", `${tokens.admin} ${tokens.worker}`],
    ])("%s, on any method", async (_, token) => {
      expect(await everyMethod(`127.0.0.1:${plain.port}`, () => ({ token }))).toEqual(all("UNAUTHENTICATED"));
      expect(await everyMethod(`localhost:${secure.port}`, () => ({ token, ...identity() }))).toEqual(
        all("UNAUTHENTICATED"),
      );
    });

    it.each([
      ["a worker", Role.WORKER, tokens.worker],
      ["a viewer", Role.VIEWER, tokens.viewer],
      ["an admin", Role.ADMIN, tokens.admin],
    ])("%s on a method that is not for it", async (_, role, token) => {
      const notForIt = methods.filter((method) => !rolesAllowedTo(method).includes(role));
      expect(notForIt.length).toBeGreaterThan(0);
      const codes = await everyMethod(`127.0.0.1:${plain.port}`, (m) => (notForIt.includes(m) ? { token } : undefined));
      expect(codes).toEqual(all("FORBIDDEN", notForIt));
    });

    it("another run's token and certificate", async () => {
      const theirs = () => ({ token: "t".repeat(43), tlsCa: own.ca, identity: other.client });
      const codes = Object.values(await everyMethod(`localhost:${secure.port}`, theirs));
      expect(codes).toHaveLength(methods.length);
      for (const code of codes) expect(["COORDINATOR_UNREACHABLE", "UNAUTHENTICATED"]).toContain(code);
    });

    it.each([
      ["an expired certificate", () => expired.client],
      ["no certificate", () => undefined],
      ["another authority's certificate", () => other.client],
    ])("the right token with %s", async (_, client) => {
      const identity = client();
      const shown = { tlsCa: own.ca, ...(identity ? { identity } : {}) };
      const codes = await everyMethod(`localhost:${secure.port}`, (m) => ({ token: tokenFor(m), ...shown }));
      // Node hangs up on a certificate that it does not like, without a word.
      expect(Object.keys(codes)).toHaveLength(methods.length);
      for (const code of Object.values(codes)) expect(["COORDINATOR_UNREACHABLE", "UNAUTHENTICATED"]).toContain(code);
    });

    it("whoever speaks in the clear to a coordinator that speaks TLS", async () => {
      const codes = await everyMethod(`localhost:${secure.port}`, (m) => ({ token: tokenFor(m) }));
      expect(Object.keys(codes)).toHaveLength(methods.length);
      for (const code of Object.values(codes)) expect(["COORDINATOR_UNREACHABLE", "PORT_UNAVAILABLE"]).toContain(code);
    });

    it("whose body is damaged hears of the token first: nothing is parsed for strangers", async () => {
      const bytes = await rawCall(plain.port, "/coord.v1.RunService/Stop", "wrong", Buffer.alloc(1000, 0xff));
      expect(bytes.code).toBe(16);
      const admitted = await rawCall(plain.port, "/coord.v1.RunService/Stop", tokens.admin, Buffer.alloc(1000, 0xff));
      expect(admitted.code).toBe(13);
    });
  });

  it.each([
    ["another authority's certificate", () => other.server, () => own.ca],
    ["an expired certificate", () => expired.server, () => expired.ca],
  ])("a coordinator that shows %s is not trusted", async (_, shown, trusted) => {
    const { port, server: stranger } = await serve(shown());
    const [getStatus] = RunService.methods;
    const tlsCa = trusted();
    const failure = await call(getStatus!, `localhost:${port}`, { token: tokens.admin, tlsCa });
    expect(failure).toMatchObject({ code: "UNAUTHENTICATED", message: expect.stringContaining("certificate") });
    await stranger.close(0);
  });

  it("a coordinator under a name that is not in its certificate is not trusted", async () => {
    const elsewhere = await issueCertificates(["coordinator.example"]);
    const { port, server } = await serve({ ...elsewhere.server, clientCa: elsewhere.ca });
    const shown = { token: tokens.admin, tlsCa: elsewhere.ca, identity: elsewhere.client };
    const failure = await call(RunService.methods[0]!, `localhost:${port}`, shown);
    expect(failure.code).toBe("UNAUTHENTICATED");
    await server.close(0);
  });

  it("a program that listens in the clear hears no token from who expects TLS", async () => {
    const heard: Buffer[] = [];
    const stranger = createServer((socket) => {
      socket.on("data", (bytes) => heard.push(bytes)).on("error", () => {});
    }).listen(0, "127.0.0.1");
    await once(stranger, "listening");
    const { port } = stranger.address() as { port: number };
    const shown = { token: tokens.admin, ...identity() };
    expect(await call(RunService.methods[0]!, `localhost:${port}`, shown)).toBeInstanceOf(CoordError);
    expect(heard.length).toBeGreaterThan(0);
    expect(Buffer.concat(heard).includes(tokens.admin)).toBe(false);
    stranger.close();
    connect(port, "127.0.0.1")
      .on("error", () => {})
      .destroy();
  });
});

/** Sends `body` as it is. */
async function rawCall(port: number, path: string, token: string, body: Buffer): Promise<{ code: number }> {
  const { Client, credentials, Metadata } = await import("@grpc/grpc-js");
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  const code = await new Promise<number>((resolve) =>
    client.makeUnaryRequest(
      path,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      body,
      metadata,
      (error) => resolve(error?.code ?? 0),
    ),
  );
  client.close();
  return { code };
}
