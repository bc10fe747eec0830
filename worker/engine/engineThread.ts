import { parentPort, workerData } from "node:worker_threads";
import { assertNever, CoordError, toCoordError } from "../../shared/errors.ts";
import type { Engine, TokenLoss } from "./engine.ts";
import type { EngineNote, EngineRequest, EngineResponse, EngineThreadData } from "./engineMessages.ts";
import { openEngine } from "./openEngine.ts";

// The main file of the thread that an engine computes in; worker/engine/engineHost.ts is the other side.

const port = parentPort;
if (!port) throw new CoordError("INTERNAL", "engineThread is the main file of a thread, not of a process.");

const data = workerData as EngineThreadData;
const parameters = new Float32Array(data.parameters);
const gradient = new Float32Array(data.gradient);
const busy = new Int32Array(data.busy);
const ready = openEngine(data, (note) => port.postMessage({ note } satisfies EngineNote));

// One after the other, in the order of arrival.
let turn: Promise<void> = answer(0, async () => ({ description: (await ready).description }));
port.on("message", ({ id, call }: EngineRequest) => {
  turn = turn.then(() =>
    answer(id, async () =>
      perform(await ready, call, (start, end) =>
        port.postMessage({ id, final: [start, end] } satisfies EngineResponse),
      ),
    ),
  );
});

interface Result {
  readonly loss?: TokenLoss;
  readonly module?: string;
  readonly description?: string;
}

async function perform(
  engine: Engine,
  call: EngineRequest["call"],
  onGradient: (start: number, end: number) => void,
): Promise<Result> {
  switch (call.method) {
    case "forwardBackward":
      gradient.fill(0);
      return {
        loss: await engine.forwardBackward(call.batch, gradient, {
          onGradient,
          ...(call.dropout && { dropout: call.dropout }),
        }),
      };
    case "evaluate":
      return { loss: await engine.evaluate(call.batch) };
    case "firstNotFinite": {
      const module = await engine.firstNotFinite(call.batch);
      return module === undefined ? {} : { module };
    }
    case "setParameters":
      await engine.setParameters(parameters);
      return {};
    case "dispose":
      await engine.dispose();
      return {};
    default:
      return assertNever(call);
  }
}

async function answer(id: number, run: () => Promise<Result>) {
  let response: EngineResponse;
  Atomics.store(busy, 0, 1);
  try {
    response = { id, ...(await run()) };
  } catch (thrown) {
    const { code, message, stack = "" } = toCoordError(thrown);
    response = { id, error: { code, message, stack } };
  }
  Atomics.store(busy, 0, 0);
  Atomics.notify(busy, 0);
  port?.postMessage(response);
}
