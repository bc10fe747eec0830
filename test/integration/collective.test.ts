import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { Collective } from "../../coordinator/collective/collectiveService.ts";
import { SharedRegions } from "../../coordinator/collective/sharedRegions.ts";
import { membershipHandlers } from "../../coordinator/membership/membershipService.ts";
import { TrainingSession } from "../../coordinator/membership/trainingSession.ts";
import { CoordinatorServer } from "../../coordinator/server.ts";
import { systemClock } from "../../shared/clock.ts";
import { CollectiveService } from "../../shared/gen/coord/v1/collective_pb.ts";
import { MembershipService } from "../../shared/gen/coord/v1/membership_pb.ts";
import { createLogger } from "../../shared/log.ts";
import { Connection } from "../../shared/rpc/client.ts";
import { sharedMemoryDirectory } from "../../shared/runPaths.ts";
import { bytesOfFloat32 } from "../../shared/tensors/bytes.ts";
import { GradientSum } from "../../shared/tensors/reduce.ts";
import { CoordinatorClient } from "../../worker/collective/coordinatorClient.ts";
import { temporaryDirectory } from "../support/temporaryDirectory.ts";

const slots = 4;
const groupSize = 2;
/** Bit patterns of float32 values: ordinary ones, denormals, both zeros, both infinities, the largest. */
const bits = fc.oneof(
  fc.integer(),
  fc.constantFrom(0, 0x80000000 | 0, 1, 0x80000001 | 0, 0x007fffff, 0x7f800000, 0xff800000 | 0, 0x7f7fffff),
);
const vectors = fc
  .oneof(fc.nat({ max: 40 }), fc.constantFrom(2 ** 18, 2 ** 18 + 1))
  .chain((length) =>
    fc.tuple(
      fc.array(fc.array(bits, { minLength: 8, maxLength: 8 }), { minLength: slots, maxLength: slots }),
      fc.constant(length),
    ),
  )
  .map(([patterns, length]) =>
    patterns.map((pattern) => {
      const cells = new Int32Array(length).map((_, index) => pattern[index % 8]!);
      // NaNs are equal as NaNs only.
      return new Float32Array(cells.buffer).map((value) => (Number.isNaN(value) ? 1 : value));
    }),
  );

describe("an all-reduce of two workers with two slots each", () => {
  let memory: string;
  let address: string;
  let regions: SharedRegions;
  let close: () => Promise<void>;
  let clients: CoordinatorClient[];
  let generation: bigint;
  let slotsOf: number[][];
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
      regions,
      onNotFinite: (_, sentence) => fail(new Error(sentence)),
      onEvaluation() {},
    });
    const server = new CoordinatorServer({ worker: "token", viewer: "v", admin: "a" }, createLogger("test"), undefined);
    server.add(MembershipService, membershipHandlers(session, fail));
    server.add(CollectiveService, collective.handlers);
    address = `127.0.0.1:${await server.listen("127.0.0.1", 0)}`;
    const hangUp = new AbortController();
    clients = [0, 1].map((rank) => {
      const caller = { runId: "run", workerId: `0/${rank}`, incarnation: `process-${rank}` };
      return new CoordinatorClient({ address, token: "token" }, caller);
    });
    const joined = clients.map(async (client, localRank) => {
      const join = { member: client.caller, localRank, pid: 1 };
      const stream = client.membership.join(join, { signal: hangUp.signal })[Symbol.asyncIterator]();
      return (await stream.next()).value!;
    });
    const assignments = await Promise.all(joined);
    generation = assignments[0]!.generation;
    slotsOf = assignments.map((assignment) => assignment.slots);
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

  it("gives the bits of the sum in slot order, over gRPC, through shared memory and with one worker on each", async () => {
    await fc.assert(
      fc.asyncProperty(vectors, async (gradients) => {
        const sum = new GradientSum({ slots, groupSize, elements: gradients[0]!.length });
        for (const [slot, gradient] of gradients.entries()) sum.add(slot, gradient.slice());
        for (const planes of [
          ["grpc", "grpc"],
          ["shared", "shared"],
          ["shared", "grpc"],
        ] as const) {
          for (const [rank, client] of clients.entries()) client.useDataPlane(planes[rank]!);
          for (const received of await round(gradients)) {
            expect(Buffer.compare(bytesOfFloat32(received), bytesOfFloat32(sum.result()))).toBe(0);
          }
        }
      }),
      { numRuns: 25 },
    );
    const ofShared = readdirSync(memory).filter((name) => name !== "key");
    expect(ofShared.sort()).toEqual(["gradient-0-0-process-0", "gradient-0-1-process-1", "sum-1"]);
  });

  it("takes a repeat of a contribution by another way for the same", async () => {
    const part = {
      slot: slotsOf[0]![0]!,
      gradient: Float32Array.of(1, 2),
      loss: { sum: 1, tokens: 1 },
      inputTokens: 1,
    };
    for (const plane of ["shared", "grpc", "shared"] as const) {
      clients[0]!.useDataPlane(plane);
      await clients[0]!.contribute(1, part, { generation, signal });
    }
    const other = { ...part, gradient: Float32Array.of(1, 3) };
    await expect(clients[0]!.contribute(1, other, { generation, signal })).rejects.toMatchObject({ code: "DIVERGED" });
  });

  it("notices when what is in a region is not what was contributed", async () => {
    const gradient = new Float32Array(1000).fill(1);
    const header = {
      member: clients[0]!.caller,
      key: { generation, step: 1n, bucket: 0 },
      slot: slotsOf[0]![0]!,
      bytes: 4000n,
      digest: 1n,
      regionKey: regions.key,
    };
    writeFileSync(join(memory, "gradient-0-0-process-0"), bytesOfFloat32(gradient));
    const connection = new Connection({ address, token: "token" });
    onTestFinished(() => connection.close());
    const upload = (change: object) => {
      return connection
        .service(CollectiveService)
        .contribute([{ part: { case: "header", value: { ...header, ...change } } }]);
    };
    await expect(upload({})).rejects.toMatchObject({ code: "DIVERGED" });
    await expect(upload({ bytes: 8000n })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await expect(upload({ regionKey: "another" })).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  });

  /** One round: all contribute and fetch at once, then vote. */
  async function round(gradients: readonly Float32Array[]): Promise<Float32Array[]> {
    step++;
    const epoch = { generation, signal };
    const sums = clients.map(async (client, rank) => {
      const fetched = client.fetchSum(step, epoch);
      for (const slot of slotsOf[rank]!) {
        await client.contribute(
          step,
          { slot, gradient: gradients[slot]!, loss: { sum: 1, tokens: 1 }, inputTokens: 1 },
          epoch,
        );
      }
      return (await fetched).gradient;
    });
    const received = await Promise.all(sums);
    const votes = clients.map(({ caller, membership }) => {
      return membership.commitStep({ member: caller, generation, step: BigInt(step) });
    });
    await Promise.all(votes);
    return received;
  }
});
