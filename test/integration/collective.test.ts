import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { Collective } from "../../coordinator/collective/collectiveService.ts";
import { SharedRegions } from "../../coordinator/collective/sharedRegions.ts";
import { membershipHandlers } from "../../coordinator/membership/membershipService.ts";
import { TrainingSession } from "../../coordinator/membership/trainingSession.ts";
import { CoordinatorServer } from "../../coordinator/server.ts";
import { systemClock } from "../../shared/clock.ts";
import { CollectiveService, type ContributeRequest } from "../../shared/gen/coord/v1/collective_pb.ts";
import { MembershipService } from "../../shared/gen/coord/v1/membership_pb.ts";
import { blockBytes } from "../../shared/kernels/kernels.ts";
import type { WireFormat } from "../../shared/kernels/wireFormat.ts";
import { createLogger } from "../../shared/log.ts";
import { canMapInPlace } from "../../shared/regions/mapping.ts";
import { Connection } from "../../shared/rpc/client.ts";
import { sharedMemoryDirectory } from "../../shared/runPaths.ts";
import { CoordinatorClient } from "../../worker/collective/coordinatorClient.ts";
import { Meeting } from "../../worker/collective/meeting.ts";
import type { Share } from "../../worker/collective/reduction.ts";
import { sumSlots, sumSlotsInBfloat16 } from "../support/plainKernels.ts";
import { bitsOf, floatBits, vectorOf } from "../support/specialFloats.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const slots = 4;
const groupSize = 3;
const block = blockBytes / 4;
/** Bit patterns of each slot, and a length. */
const rounds = fc.tuple(
  fc.array(fc.array(floatBits, { minLength: 7, maxLength: 7 }), { minLength: slots, maxLength: slots }),
  fc.oneof(fc.nat({ max: 40 }), fc.constantFrom(0, 1, block, block + 1, 2 ** 18, 2 ** 18 + 1, 5 * block + 3)),
);

describe.each([
  { format: "float32", sumOf: sumSlots },
  { format: "bfloat16", sumOf: sumSlotsInBfloat16 },
] as const)(
  "an all-reduce of two workers with two slots each, in $format",
  { timeout: 180_000 },
  ({ format, sumOf }) => {
    let memory: string;
    let address: string;
    let regions: SharedRegions;
    let close: () => Promise<void>;
    /** May change the chunks of uploads before the coordinator sees them. */
    let tamper: (chunk: Uint8Array) => void;
    let clients: CoordinatorClient[];
    let generation: bigint;
    let shares: Share[];
    let step: number;
    const signal = new AbortController().signal;

    beforeEach(async () => {
      const home = temporaryDirectory();
      vi.stubEnv("COORD_HOME", home);
      vi.stubEnv("COORD_SHM_DIR", home);
      memory = sharedMemoryDirectory(home, "run");
      regions = new SharedRegions(memory);
      const fail = (error: Error) => expect.fail(error.message);
      const session: TrainingSession = new TrainingSession({
        runId: "run",
        nodes: 1,
        gpus: 2,
        worldSize: 2,
        plan: { configJson: "{}", slots, groupSize, datasetSize: 1n, maxSteps: 1000n },
        clock: systemClock,
        heartbeatTimeoutMs: 60_000,
        start: { step: 0, seedable: true, adopt: false },
        nextGeneration: () => 1n,
        events: {
          duesAt: () => ({ save: false, evaluate: false, finish: false }),
          onCommit: (committed) => void collective.takeResult(committed),
          onGeneration() {},
          onMemberLost() {},
          onWaiting() {},
          onAdopted() {},
          onFailure: fail,
          onStateLost: async () => 0,
          holdsState: () => false,
        },
      });
      const collective = new Collective(() => session, {
        slots,
        groupSize,
        format,
        regions,
        onNotFinite: (_, sentence) => fail(new Error(sentence)),
        onEvaluation() {},
      });
      const server = new CoordinatorServer(
        { worker: "token", viewer: "v", admin: "a" },
        createLogger("test"),
        undefined,
      );
      server.add(MembershipService, membershipHandlers(session, fail));
      tamper = () => {};
      async function* tampered(requests: AsyncIterable<ContributeRequest>) {
        for await (const request of requests) {
          if (request.part.case === "chunk") tamper(request.part.value.data);
          yield request;
        }
      }
      const { contribute, ...handlers } = collective.handlers;
      server.add(CollectiveService, {
        ...handlers,
        contribute: (requests, context) => contribute(tampered(requests), context),
      });
      address = `127.0.0.1:${await server.listen("127.0.0.1", 0)}`;
      const hangUp = new AbortController();
      clients = [0, 1].map((rank) => {
        const caller = { runId: "run", workerId: `0/${rank}`, incarnation: `process-${rank}` };
        const client = new CoordinatorClient({ address, token: "token" }, caller);
        client.useDataPlane("grpc", format);
        return client;
      });
      const joined = clients.map(async (client, localRank) => {
        const join = { member: client.caller, localRank, pid: 1 };
        const stream = client.membership.join(join, { signal: hangUp.signal })[Symbol.asyncIterator]();
        return (await stream.next()).value!;
      });
      const assignments = await Promise.all(joined);
      generation = assignments[0]!.generation;
      shares = assignments.map(({ rank, slots: own, worldSize }) => {
        return { generation, signal, rank, worldSize, slots: own, slotCount: slots, groupSize };
      });
      step = 0;
      close = async () => {
        hangUp.abort();
        for (const client of clients) client.close();
        await server.close(0);
        await regions.remove();
        vi.unstubAllEnvs();
      };
    });
    afterEach(() => close());

    it("gives the bits of the sum in slot order, over gRPC, through shared memory in place and block by block, and with one worker on each", async () => {
      await fc.assert(
        fc.asyncProperty(rounds, async ([patterns, length]) => {
          const gradients = patterns.map((pattern) => vectorOf(pattern, length));
          const expected = bitsOf(sumOf(gradients, groupSize));
          for (const { inPlace, planes } of [
            { planes: ["grpc", "grpc"], inPlace: [] },
            { planes: ["shared", "shared"], inPlace: [canMapInPlace, canMapInPlace] },
            { planes: ["auto", "auto"], inPlace: [canMapInPlace, false] },
            { planes: ["shared", "shared"], inPlace: [false, false] },
            { planes: ["auto", "grpc"], inPlace: [canMapInPlace, canMapInPlace] },
          ] as const) {
            for (const [rank, client] of clients.entries()) client.useDataPlane(planes[rank]!, format, inPlace[rank]);
            for (const received of await round(gradients)) {
              expect(Buffer.compare(bitsOf(received), expected)).toBe(0);
            }
          }
        }),
        { numRuns: 10 },
      );
    });

    it.each([false, ...(canMapInPlace ? [true] : [])])(
      "goes through memory that all share when all can (in place: %s), and over gRPC for all when one cannot",
      async (inPlace) => {
        const gradients = Array.from({ length: slots }, (_, slot) => new Float32Array(3 * block).fill(slot));
        for (const client of clients) client.useDataPlane("auto", format, inPlace);
        await round(gradients);
        const ofShared = readdirSync(memory).sort();
        const meeting = inPlace ? ["meeting-1"] : [];
        const ofSlots = ["gradient-1-0", "gradient-1-1", "gradient-1-2", "gradient-1-3"];
        expect(ofShared).toEqual([...ofSlots, ...meeting, "sum-1", "terms"]);
        // Not made shorter: whoever has it mapped would end by SIGBUS.
        const { size } = statSync(join(memory, "sum-1"));
        writeFileSync(join(memory, "sum-1"), Buffer.alloc(size), { flag: "r+" });
        clients[1]!.useDataPlane("grpc", format);
        for (const sum of await round(gradients)) expect(new Set(sum)).toEqual(new Set([0 + 1 + 2 + 3]));
        // Nobody summed there.
        expect(readFileSync(join(memory, "sum-1")).every((byte) => byte === 0)).toBe(true);
      },
    );

    it("repeats a step's round over gRPC when what is in shared memory is not what was written", async () => {
      vi.stubEnv("COORD_LOG_LEVEL", "silent");
      for (const client of clients) client.useDataPlane("auto", format, false);
      const gradients = Array.from({ length: slots }, (_, slot) => new Float32Array(3 * block).fill(slot));
      const flipped = flipBitsIn(join(memory, "gradient-1-3"), format);
      for (const sum of await round(gradients)) expect(new Set(sum)).toEqual(new Set([0 + 1 + 2 + 3]));
      expect(await flipped).toBe(true);
    });

    it.runIf(canMapInPlace)(
      "repeats a round over gRPC when a slot has changed after it was written in place",
      async () => {
        vi.stubEnv("COORD_LOG_LEVEL", "silent");
        for (const client of clients) client.useDataPlane("auto", format, true);
        const gradients = Array.from({ length: slots }, (_, slot) => new Float32Array(3 * block).fill(slot));
        const arrive = vi.spyOn(Meeting.prototype, "arrive");
        onTestFinished(() => arrive.mockRestore());
        let flips = 0;
        arrive.mockImplementationOnce(function (this: Meeting, rank, point) {
          arrive.mockRestore();
          const [slot] = shares[rank]!.slots;
          const file = openSync(join(memory, `gradient-1-${slot}`), "r+");
          // In a block that the other rank sums.
          flips += writeSync(file, Buffer.of(1), 0, 1, rank === 0 ? 2 * (format === "float32" ? 4 : 2) * block : 0);
          closeSync(file);
          this.arrive(rank, point);
        });
        let chunks = 0;
        tamper = () => void chunks++;
        const sums = await round(gradients);
        expect(flips).toBe(1);
        expect(chunks).toBe(slots);
        // The smallest of all numbers more does not show.
        for (const sum of sums) expect(new Set(sum)).toEqual(new Set([0 + 1 + 2 + 3]));
      },
    );

    it("repeats an upload that was damaged on its way", async () => {
      const gradients = Array.from({ length: slots }, (_, slot) => new Float32Array(3 * block).fill(slot));
      let damaged = 0;
      tamper = (chunk) => {
        if (damaged++ === 0) chunk[5]! ^= 4;
      };
      for (const sum of await round(gradients)) expect(new Set(sum)).toEqual(new Set([0 + 1 + 2 + 3]));
      expect(damaged).toBeGreaterThan(slots);
    });

    it("takes a repeat of a contribution for the same, and another gradient for an error", async () => {
      const send = (value: number) => {
        const reduction = clients[0]!.allReduce(1, shares[0]!, 2);
        const gradient = reduction.gradient().fill(value);
        return reduction.add({ slot: shares[0]!.slots[0]!, gradient, loss: { sum: 1, tokens: 1 }, inputTokens: 1 });
      };
      await send(1);
      await send(1);
      await expect(send(3)).rejects.toMatchObject({ code: "DIVERGED" });
    });

    it("refuses a round in shared memory to who cannot see it or claims slots of others", async () => {
      const connection = new Connection({ address, token: "token" });
      onTestFinished(() => connection.close());
      const header = {
        member: clients[0]!.caller,
        key: { generation, step: 1n, bucket: 0 },
        bytes: 8n,
        stages: 1,
        regionKey: regions.key,
        slots: shares[0]!.slots.map((slot) => ({ slot, loss: { sum: 1, tokens: 1n } })),
      };
      const begin = async (change: object) => {
        async function* requests() {
          yield { header: { ...header, ...change } };
        }
        for await (const _ of connection.service(CollectiveService).reduce(requests())) expect.fail("It was admitted.");
      };
      await expect(begin({ regionKey: "another" })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
      const slotsOfOther = shares[1]!.slots.map((slot) => ({ slot }));
      await expect(begin({ slots: slotsOfOther })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
      await expect(begin({ bytes: 8n, key: { generation: 7n, step: 1n } })).rejects.toMatchObject({
        code: "STALE_GENERATION",
      });
    });

    /** One round: all contribute and fetch at once, then vote. */
    async function round(gradients: readonly Float32Array[]): Promise<Float32Array[]> {
      step++;
      const sums = clients.map(async (client, rank) => {
        const share = shares[rank]!;
        const reduction = client.allReduce(step, share, gradients[0]!.length);
        for (const slot of share.slots) {
          const gradient = reduction.gradient();
          bitsOf(gradient).set(bitsOf(gradients[slot]!));
          await reduction.add({ slot, gradient, loss: { sum: 1, tokens: 1 }, inputTokens: 1 });
        }
        // A copy, because all of this process share the kernels' memory but not the sum's place in it.
        const { confirmed, gradient } = await reduction.sum();
        const received = gradient.slice();
        await confirmed;
        return received;
      });
      const received = await Promise.all(sums);
      const votes = clients.map(({ caller, membership }) => {
        return membership.commitStep({ member: caller, generation, step: BigInt(step) });
      });
      await Promise.all(votes);
      return received;
    }
  },
);

/** Flips a bit of whatever is written to the beginning of a file, as soon as it is; true when it has. */
async function flipBitsIn(path: string, format: WireFormat): Promise<boolean> {
  for (let look = 0; look < 10_000; look++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!existsSync(path)) continue;
    const file = openSync(path, "r+");
    const bytes = Buffer.alloc(4);
    const there = readSync(file, bytes, 0, 4, 0) === 4 && bytes.readUInt16LE(format === "float32" ? 2 : 0) === 0x4040;
    if (there) writeSync(file, Buffer.of(bytes[0]! ^ 1), 0, 1, 0);
    closeSync(file);
    if (there) return true;
  }
  return false;
}
