// A worker that all-reduces through the coordinator. Arguments: address, rank. Environment: BENCH_TOKEN and
// BENCH_DATA_PLANE (grpc or shared).
// Speaks the line protocol of rankGroup.ts.
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { InPlaceRegion } from "../../../shared/regions/inPlaceRegion.ts";
import { coordHome } from "../../../shared/runPaths.ts";
import { CoordinatorClient } from "../../../worker/collective/coordinatorClient.ts";
import { Meeting, meetingBytes } from "../../../worker/collective/meeting.ts";
import { benchRunId } from "./names.ts";
import type { RoundsRequest } from "./rankGroup.ts";

const [, , address, rankText] = process.argv;
const rank = Number(rankText);
const caller = { runId: benchRunId, workerId: `0/${rank}`, incarnation: String(process.pid) };
const client = new CoordinatorClient({ address: address!, token: process.env["BENCH_TOKEN"]! }, caller);
client.useDataPlane(
  process.env["BENCH_DATA_PLANE"] === "shared" ? "shared" : "grpc",
  process.env["BENCH_FORMAT"] === "bfloat16" ? "bfloat16" : "float32",
);
const hangUp = new AbortController();
const introduction = { member: caller, localRank: rank, pid: process.pid };
const assignments = client.membership.join(introduction, { signal: hangUp.signal })[Symbol.asyncIterator]();
const { generation, plan, rank: place, slots, worldSize } = (await assignments.next()).value!;
const { groupSize, slots: slotCount } = plan!;
const share = { generation, signal: hangUp.signal, slots, rank: place, worldSize, slotCount, groupSize };
const shape = { worldSize, slots: 0, blocks: 0 };
const start = new Meeting(new InPlaceRegion().map(join(coordHome(), "start"), meetingBytes(shape)), shape);
process.stdout.write("ready\n");

let step = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const { bytes, rounds } = JSON.parse(line) as RoundsRequest;
  const times: [number, number][] = [];
  for (let round = 0; round < rounds; round++) times.push(await allReduce(bytes / 4));
  process.stdout.write(`${JSON.stringify(times)}\n`);
}
hangUp.abort();
client.close();

/** One round, in the order of calls in which a training step makes them; the vote that ends the step is not timed. */
async function allReduce(elements: number): Promise<[begin: number, end: number]> {
  step++;
  const reduction = client.allReduce(step, share, elements);
  const gradient = reduction.gradient().fill(place + 1);
  // In a run, computing lies between the vote and the next round; what is left of the vote is not this round's time.
  await setTimeout(5);
  // As gloo's script does.
  start.arrive(place, step);
  await start.all(step, hangUp.signal);
  const begin = monotonicMs();
  await reduction.add({ slot: slots[0]!, gradient, loss: { sum: 1, tokens: 1 }, inputTokens: 1 });
  const sum = await reduction.sum();
  const end = monotonicMs();
  const expected = (worldSize * (worldSize + 1)) / 2;
  if (sum.gradient[0] !== expected || sum.gradient.at(-1) !== expected) throw new Error("The sum is wrong.");
  await sum.confirmed;
  await client.membership.commitStep({ member: caller, generation, step: BigInt(step) });
  return [begin, end];
}

/** CLOCK_MONOTONIC, the same for every process of the host. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
