// A process that trains LoRA on a model with an engine, a step each time that it is told to: peft_process.py's twin.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Tensor } from "onnxruntime-node";
import { EngineHost } from "../../../../worker/engine/engineHost.ts";
import { emitOnnx } from "../../../../worker/engine/onnx/emitOnnx.ts";
import { openSession } from "../../../../worker/engine/onnx/session.ts";
import { input, matmul } from "../../../../worker/model/operations.ts";
import { toProgram } from "../../../../worker/model/program.ts";
import { adamWStep } from "../../../../worker/train/optimizer.ts";
import type { SpeedSettings } from "./speedCase.ts";

const settings = JSON.parse(process.argv[2] ?? "") as SpeedSettings;
const { alpha, inputIds, learningRate, modelDirectory, r, targetModules, threads } = settings;

const engine = await EngineHost.start({
  modelDirectory,
  threads,
  device: { kind: "cpu" },
  trainable: { kind: "lora", r, alpha, dropout: 0, targetModules },
});
const vector = () => new Float32Array(engine.layout.elements);
const state = () => ({ parameters: vector(), firstMoment: vector(), secondMoment: vector() });
let [held, next] = [state(), state()];
held.parameters.set(await engine.initialParameters(1));
await engine.setParameters(held.parameters);
const gradient = vector();
const ids = Int32Array.from(inputIds);
const batch = { batch: 1, sequence: ids.length, inputIds: ids, labels: ids };
let step = 0;

answer({ name: engine.description });
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "rate") {
    const rates: number[] = [];
    for (const shape of settings.shapes) rates.push(await rate(shape));
    answer({ rates });
    continue;
  }
  const start = performance.now();
  gradient.fill(0);
  const { sum, tokens } = await engine.forwardBackward(batch, gradient);
  const options = { learningRate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, startStep: 0 };
  adamWStep({ layout: engine.layout, step, ...held }, next, gradient, 1 / tokens, options);
  [held, next] = [next, held];
  await engine.setParameters(held.parameters);
  step++;
  answer({ seconds: (performance.now() - start) / 1000, loss: sum / tokens, peakBytes: peakBytes() });
}
await engine.dispose();

/** Operations per second of x [m, k] times w [n, k] transposed, the best of several. */
async function rate([m, k, n]: readonly [number, number, number]): Promise<number> {
  const program = toProgram([matmul(input("x", [m, k]), input("w", [n, k]), { transposeB: true })]);
  const session = await openSession(emitOnnx(program, ["y"]), { threads });
  const random = (...shape: [number, number]) =>
    new Tensor("float32", Float32Array.from({ length: shape[0] * shape[1] }, Math.random), shape);
  const feeds = { x: random(m, k), w: random(n, k) };
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 12; run++) {
    const start = performance.now();
    await session.run(feeds);
    best = Math.min(best, performance.now() - start);
  }
  await session.release();
  return (2 * m * k * n) / (best / 1000);
}

function peakBytes(): number {
  return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
}

function answer(values: object): void {
  process.stdout.write(`${JSON.stringify(values)}\n`);
}
