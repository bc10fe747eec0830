import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { DescMethod } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rolesAllowedTo } from "../../coordinator/access.ts";
import { Role } from "../../shared/gen/coord/v1/access_pb.ts";
import { MembershipService } from "../../shared/gen/coord/v1/membership_pb.ts";
import { Connection } from "../../shared/rpc/client.ts";
import { CoordHome, eventually, finalDigests } from "../support/coord.ts";
import { randomNumbers } from "../support/randomNumbers.ts";
import { allMethods } from "../support/services.ts";
import { slowedDown, smallRun } from "../support/smallRun.ts";

const full = process.env["COORD_CHAOS"] === "full";
const inputs = full ? 10_000 : 400;
const streams = full ? 10_000 : 1000;
const perSecond = 200;
/** Enough for the run to outlast what comes. */
const stepMs = 150;
const steps = Math.ceil(((inputs / perSecond + streams / 500 + 20) * 1000) / stepMs);
const seed = Number(process.env["COORD_CHAOS_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const mebibyte = 1024 ** 2;

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

describe(`hostile input (COORD_CHAOS_SEED=${seed})`, { timeout: 600_000 }, () => {
  let home: CoordHome;
  let flags: string[];
  beforeAll(async () => {
    home = await CoordHome.create();
    flags = [...(await smallRun(home)), "--gpus", "2", "--max-steps", `${steps}`];
    const result = await home.coord(["launch", ...flags, "--output", home.path("undisturbed")]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
  }, 300_000);
  afterAll(async () => {
    await home.coord(["kill-stale", "--all-runs"]);
    await home.remove();
  });

  const random = randomNumbers(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => below(256)));

  /** An HTTP/2 frame whose header says what its body may not be. */
  const frame = () => {
    const body = bytes(below(200));
    const header = Buffer.alloc(9);
    header.writeUIntBE(pick([body.length, below(2 ** 24), 0]), 0, 3);
    header[3] = pick([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, below(256)]);
    header[4] = below(256);
    header.writeUInt32BE(pick([0, 1, 2, 3, below(2 ** 31)]), 5);
    return Buffer.concat([header, body]);
  };
  const framed = (compressed: 0 | 1, length: number, body: Buffer) => {
    const header = Buffer.alloc(5);
    header[0] = compressed;
    header.writeUInt32BE(length, 1);
    return Buffer.concat([header, body]);
  };
  /** Field 1 in field 1 in field 1 …, as deep as the lengths allow. */
  const nested = (depth: number) => {
    let body = Buffer.alloc(0);
    for (let level = 0; level < depth && body.length < 16_000; level++) {
      const length = body.length < 128 ? [body.length] : [(body.length & 0x7f) | 0x80, body.length >> 7];
      body = Buffer.concat([Buffer.from([0x0a, ...length]), body]);
    }
    return body;
  };
  const bomb = gzipSync(Buffer.alloc(64 * mebibyte));
  const bodies: readonly (() => { body: Buffer; encoding?: string })[] = [
    () => ({ body: frameOf(bytes(below(500))) }),
    () => ({ body: frameOf(nested(5000)) }),
    () => ({ body: framed(0, pick([2 ** 32 - 1, 2 ** 31, 9 * mebibyte, 3]), bytes(below(100))) }),
    () => ({ body: bytes(below(20)) }),
    () => ({ body: framed(1, 100, bytes(100)), encoding: "gzip" }),
    () => ({ body: framed(1, 100, bytes(100)), encoding: pick(["", "br", "identity", "unknown"]) }),
    () => ({ body: framed(1, bomb.length, bomb), encoding: "gzip" }),
  ];
  const frameOf = (body: Buffer) => framed(0, body.length, body);

  it("ends no process and no step, whatever it is: same bytes", async () => {
    const output = home.path("attacked");
    const run = await home.launch([...flags, "--output", output], slowedDown(stepMs));
    const directory = join(home.home, "runs", run);
    await eventually("step 3", async () =>
      (await home.metrics(run)).some((line) => (line["step"] ?? 0) >= 3) ? true : undefined,
    );
    const { address, process: coordinator } = home.coordinator(run);
    const [host, port] = [address.split(":")[0]!, Number(address.split(":")[1])];
    const token = readFileSync(join(directory, "token"), "utf8").split("\n")[0]!;
    const residentMiB = () => {
      const status = readFileSync(`/proc/${coordinator.pid}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1024;
    };

    const probe = new Connection({ address, token });
    let times: number[] = [];
    const beat = async () => {
      const began = performance.now();
      const member = { runId: run, workerId: "0/0", incarnation: "a stranger" };
      await probe
        .service(MembershipService)
        .heartbeat({ member }, { timeoutMs: 10_000 })
        .catch(() => {});
      times.push(performance.now() - began);
    };
    const beating = setInterval(() => void beat(), 50);
    const p99 = () => {
      const sorted = times.sort((a, b) => a - b);
      times = [];
      return sorted[Math.floor(0.99 * sorted.length)]!;
    };
    const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    await pause(5000);
    const baseline = { p99: p99(), resident: residentMiB() };

    const methods = (await allMethods()).filter((method) => rolesAllowedTo(method).includes(Role.WORKER));
    const sessions = new Set<ClientHttp2Session>();
    const session = () => {
      const opened = connectHttp2(`http://${address}`);
      opened.on("error", () => {}).on("close", () => sessions.delete(opened));
      sessions.add(opened);
      return opened;
    };
    const request = (over: ClientHttp2Session, method: DescMethod, encoding?: string) => {
      const call = over.request({
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]: `/${method.parent.typeName}/${method.name}`,
        "content-type": "application/grpc",
        te: "trailers",
        authorization: `Bearer ${token}`,
        ...(encoding === undefined ? {} : { "grpc-encoding": encoding }),
      });
      return call.on("error", () => {}).resume();
    };
    const raw = (data: Buffer) => {
      const socket = connect(port, host, () => socket.end(data)).on("error", () => {});
      socket.resume().setTimeout(2000, () => socket.destroy());
    };
    const trickles = Array.from({ length: 50 }, () => {
      const socket = connect(port, host).on("error", () => {});
      const data = Buffer.concat([preface, ...Array.from({ length: 20 }, frame)]);
      let at = 0;
      const timer = setInterval(() => socket.writable && socket.write(data.subarray(at, ++at)), 200);
      return { socket: socket.resume(), timer };
    });

    const attack = async () => {
      let own = session();
      for (let count = 0; count < inputs / 2; count++) {
        const kind = below(3);
        if (kind === 0) raw(bytes(1 + below(2000)));
        else if (kind === 1) raw(Buffer.concat([preface, ...Array.from({ length: 1 + below(5) }, frame)]));
        else {
          if (own.closed || own.destroyed) own = session();
          const { body, encoding } = pick(bodies)();
          request(own, pick(methods), encoding).end(body);
        }
        if (count % (perSecond / 20) === 0) await pause(50);
      }
      const inputsP99 = p99();
      // Calls that never say all they have to say, as many as a connection may have and more.
      for (let left = streams / 2; left > 0; left -= 2500) {
        const over = session();
        for (let count = 0; count < Math.min(left, 2500); count++) {
          if (over.closed || over.destroyed) break;
          request(over, pick(methods)).write(framed(0, 1000, bytes(10)));
          opened++;
          if (count % 100 === 0) await pause(20);
        }
      }
      const streamsP99 = p99();
      for (const one of sessions) one.destroy();
      await pause(3000);
      return { inputs: inputsP99, streams: streamsP99, resident: residentMiB() };
    };
    let opened = 0;
    const first = await attack();
    const second = await attack();
    for (const { socket, timer } of trickles) {
      clearInterval(timer);
      socket.destroy();
    }
    clearInterval(beating);
    probe.close();
    expect(home.coordinator(run).process.pid, "the coordinator is the one that it was").toBe(coordinator.pid);
    const both = (key: "inputs" | "streams") => `${first[key].toFixed(1)} and ${second[key].toFixed(1)} ms`;
    const resident = [baseline, first, second].map((at) => at.resident.toFixed(0)).join(" → ");
    console.log(
      `Two halves of ${inputs} inputs and ${opened} streams, and 50 trickles: heartbeat p99 ` +
        `${baseline.p99.toFixed(1)} ms before, ${both("inputs")} during the inputs, ${both("streams")} during the ` +
        `streams; coordinator ${resident} MiB`,
    );

    const { exitCode, stderr } = await home.coord(["attach", run]);
    expect(exitCode, stderr).toBe(0);
    expect(await finalDigests(output, steps)).toEqual(await finalDigests(home.path("undisturbed"), steps));
    expect(readFileSync(join(directory, "logs", "coordinator.log"), "utf8")).not.toContain("UnhandledPromise");
    const messages = (await home.events(run)).map(({ message }) => message);
    expect(messages.filter((message) => / is out: /.test(message))).toEqual([]);
    // What the allocator once had it keeps; what grows again with as many inputs again would be a leak.
    expect(second.resident - first.resident, "MiB more after the second half").toBeLessThanOrEqual(50);
  });
});
