// A coordinator without training: serves RunService for the run that COORD_RUN_ID names, by a small script.
//   fakeCoordinator.mjs STEPS STEP_MS END     END: finish | fail | crash (SIGKILL after the last step), each from the first watcher on | wait (for a stop)
import { setTimeout as delay } from "node:timers/promises";
import { prepareCredentials } from "../../dist/coordinator/runs/runCredentials.js";
import { RunDirectory } from "../../dist/coordinator/runs/runDirectory.js";
import { CoordinatorServer } from "../../dist/coordinator/server.js";
import { RunService, RunState } from "../../dist/shared/gen/coord/v1/run_pb.js";
import { createLogger } from "../../dist/shared/log.js";
import { ownIdentity } from "../../dist/shared/process/identity.js";
import { coordHome } from "../../dist/shared/runPaths.js";

const [steps, stepMs, end] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
const runId = process.env.COORD_RUN_ID;
const directory = new RunDirectory(coordHome(), runId);
const { config, output } = await directory.readRun();
const logger = createLogger("coordinator");

const firstWatcher = {};
firstWatcher.promise = new Promise((resolve) => {
  firstWatcher.resolve = resolve;
});
const events = [];
const waiters = new Set();
let state = RunState.PREPARING;
let reason = "Reading the data set.";
let step = 0;
let stopAsked = false;
let over = false;

function add(kind, message, data = {}) {
  const timeMs = BigInt(Date.now());
  events.push({ sequence: BigInt(events.length + 1), timeMs, kind, message, dataJson: JSON.stringify(data) });
  wake();
}

function wake() {
  for (const resolve of waiters) resolve();
  waiters.clear();
}

const loss = () => 2 + Math.exp(-step / 50);

function status() {
  return {
    runId,
    state,
    reason,
    step: BigInt(step),
    maxSteps: BigInt(steps),
    generation: 1n,
    output,
    worldSize: 2,
    exitCode: 0,
    workers: [0, 1].map((rank) => ({
      rank,
      localRank: rank,
      pid: process.pid,
      host: "here",
      state: "computing",
      step: BigInt(step),
    })),
    metrics:
      step === 0
        ? undefined
        : {
            step: BigInt(step),
            loss: loss(),
            learningRate: 1e-4,
            tokensPerSecond: 1234,
            etaSeconds: ((steps - step) * stepMs) / 1000,
            inputTokens: BigInt(step * 512),
          },
  };
}

const server = new CoordinatorServer((await prepareCredentials(directory.paths, config)).tokens, logger, undefined);
server.add(RunService, {
  getStatus: async () => ({ status: status() }),
  async *watch({ from }) {
    firstWatcher.resolve();
    yield { status: status() };
    for (let next = from === 0n ? events.length : Number(from) - 1; ; ) {
      while (next < events.length) yield { event: events[next++], status: status() };
      if (over) return;
      await new Promise((resolve) => waiters.add(resolve));
    }
  },
  async stop({ now }) {
    stopAsked = true;
    state = RunState.STOPPING;
    reason = "Stopping, as the user asked.";
    add("state", reason);
    if (now) process.exit(1);
    return {};
  },
});
const port = await server.listen("127.0.0.1", 0);
await directory.writeCoordinator({ address: `127.0.0.1:${port}`, process: ownIdentity() });
logger.info({ port }, "listening");

// Nothing happens unseen: a test that is slow to attach still sees the whole run.
if (end !== "wait") await firstWatcher.promise;
for (let done = 0; done <= 1000; done += 250) {
  add("data", `Tokenizing questions.jsonl: ${done} of 1000`, { done, total: 1000 });
  await delay(stepMs);
}
state = RunState.TRAINING;
reason = "Training on 2 workers.";
add("membership", reason);
add("evaluation", "Held-out loss at step 0: 3.0000.", { step: 0, loss: 3 });
while (!stopAsked && (step < steps || end === "wait")) {
  step = Math.min(steps, step + 1);
  add("step", `Step ${step} of ${steps}.`, { step, loss: loss() });
  await delay(stepMs);
}
if (end === "crash" && !stopAsked) process.kill(process.pid, "SIGKILL");
const failed = end === "fail" && !stopAsked;
if (failed) {
  const data = { worker: "rank 1 (node 0, pid 4711)", lastLines: "allocating\nno memory", log: "/logs/1/stderr.log" };
  add("error", "Rank 1 ran out of memory.", data);
} else {
  add("evaluation", `Held-out loss at step ${step}: 2.4000.`, { step, loss: 2.4 });
  add("checkpoint", `Saved checkpoint-${step}.`, { step, path: `${output}/checkpoint-${step}` });
}
const ended = failed ? "failed" : stopAsked ? "stopped" : "finished";
state = { failed: RunState.FAILED, stopped: RunState.STOPPED, finished: RunState.FINISHED }[ended];
reason = failed ? "Rank 1 ran out of memory." : "Done.";
await directory.writeResult({
  state: ended,
  exitCode: { failed: 1, stopped: 130, finished: 0 }[ended],
  errorCode: failed ? "ENGINE_FAILED" : "",
  message: reason,
  step,
  maxSteps: steps,
  output,
  checkpoint: failed ? "" : `${output}/checkpoint-${step}`,
  adapter: failed ? "" : `${output}/checkpoint-${step}`,
});
add("state", reason);
over = true;
wake();
await server.close(1000);
process.exit(0);
