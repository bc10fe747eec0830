// A coordinator with nothing but membership and all-reduce. Arguments: number of workers. Environment: BENCH_TOKEN.
// Prints its port and serves until its standard input ends.
import { once } from "node:events";
import { Collective } from "../../../coordinator/collective/collectiveService.ts";
import { openRegions } from "../../../coordinator/collective/sharedRegions.ts";
import { membershipHandlers } from "../../../coordinator/membership/membershipService.ts";
import { TrainingSession } from "../../../coordinator/membership/trainingSession.ts";
import { CoordinatorServer } from "../../../coordinator/server.ts";
import { systemClock } from "../../../shared/clock.ts";
import { CollectiveService } from "../../../shared/gen/coord/v1/collective_pb.ts";
import { MembershipService } from "../../../shared/gen/coord/v1/membership_pb.ts";
import { createLogger } from "../../../shared/log.ts";
import { coordHome, sharedMemoryDirectory } from "../../../shared/runPaths.ts";
import { benchRunId } from "./names.ts";

const workers = Number(process.argv[2]);
const token = process.env["BENCH_TOKEN"]!;

const fail = (error: Error) => {
  throw error;
};
const regions = openRegions("shared", sharedMemoryDirectory(coordHome(), benchRunId), () => {});
const session: TrainingSession = new TrainingSession({
  runId: benchRunId,
  nodes: 1,
  gpus: workers,
  worldSize: workers,
  plan: { configJson: "{}", slots: workers, groupSize: workers, datasetSize: 1n, maxSteps: 1n },
  clock: systemClock,
  heartbeatTimeoutMs: 60_000,
  start: { step: 0, seedable: true, adopt: false },
  nextGeneration: () => 1n,
  events: {
    duesAt: () => ({ save: false, evaluate: false, finish: false }),
    onCommit(step) {
      collective.takeResult(step);
    },
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
  slots: workers,
  groupSize: workers,
  format: process.env["BENCH_FORMAT"] === "bfloat16" ? "bfloat16" : "float32",
  regions,
  onNotFinite: (_, sentence) => fail(new Error(sentence)),
  onEvaluation() {},
});
const server = new CoordinatorServer(
  { worker: token, viewer: "none", admin: "none" },
  createLogger("bench"),
  undefined,
);
server.add(MembershipService, membershipHandlers(session, fail));
server.add(CollectiveService, collective.handlers);
process.stdout.write(`${await server.listen("127.0.0.1", 0)}\n`);

process.stdin.resume();
await once(process.stdin, "end");
await server.close(0);
await regions?.remove();
