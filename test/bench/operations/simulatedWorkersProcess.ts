// Workers that compute nothing: each joins over a connection of its own and says each second that it lives and what it does.
// Arguments: COORD_HOME, run id, nodes, workers per node. Prints a line when all have joined, and for each line that it
// reads one line of JSON with the heartbeats answered since the last, those that failed, and their median and longest time.
import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { RunDirectory } from "../../../coordinator/runs/runDirectory.ts";
import { MembershipService, WorkerPhase } from "../../../shared/gen/coord/v1/membership_pb.ts";
import { Connection } from "../../../shared/rpc/client.ts";
import { readCredentials } from "../../../shared/rpc/credentials.ts";
import { median } from "../statistics.ts";

const [home, runId, nodes, gpus] = process.argv.slice(2) as [string, string, string, string];
const directory = new RunDirectory(home, runId);
const { address } = (await directory.readCoordinator())!;
const endpoint = { address, ...readCredentials("token", directory.paths.token) };
const intervalMs = 1000;

let [answered, failed] = [0, 0];
let times: number[] = [];
const phases = [WorkerPhase.COMPUTING, WorkerPhase.COMPUTING, WorkerPhase.COMPUTING, WorkerPhase.REDUCING];

async function start(nodeRank: number, localRank: number): Promise<void> {
  const connection = new Connection(endpoint);
  const membership = connection.service(MembershipService);
  const member = { runId, workerId: `${nodeRank}/${localRank}`, incarnation: randomUUID() };
  const host = `node-${nodeRank}`;
  const pid = 10_000 + nodeRank * 100 + localRank;
  const stream = membership.join({ member, nodeRank, localRank, pid, host, attempt: 0, facts: {} });
  let generation = 0n;
  void (async () => {
    for await (const assignment of stream) generation = assignment.generation;
  })().catch((thrown: unknown) => {
    process.stderr.write(`worker ${member.workerId}: ${String(thrown)}\n`);
    process.exit(1);
  });
  let beat = 0;
  // Spread over the second, as processes that were started one by one are.
  await sleep(Math.random() * intervalMs);
  setInterval(() => {
    const began = performance.now();
    const phase = phases[beat++ % phases.length]!;
    const residentBytes = BigInt(6_000_000_000 + beat);
    membership.heartbeat({ member, generation, step: BigInt(beat), phase, residentBytes }, { timeoutMs: 5000 }).then(
      () => {
        answered++;
        times.push(performance.now() - began);
      },
      () => {
        failed++;
      },
    );
  }, intervalMs);
}

const starts: Promise<void>[] = [];
for (let node = 0; node < Number(nodes); node++) {
  for (let gpu = 0; gpu < Number(gpus); gpu++) starts.push(start(node, gpu));
  // A few at a time, as nodes come up.
  await sleep(20);
}
await Promise.all(starts);
process.stdout.write("ready\n");
for await (const _ of createInterface({ input: process.stdin })) {
  const figures = {
    answered,
    failed,
    medianMs: times.length > 0 ? median(times) : 0,
    longestMs: Math.max(0, ...times),
  };
  [answered, failed, times] = [0, 0, []];
  process.stdout.write(`${JSON.stringify(figures)}\n`);
}
process.exit(0);
