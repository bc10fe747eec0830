// A process that opens an engine, takes steps on random tokens and tells its memory: started by engineMemory.ts.
import { readFileSync } from "node:fs";
import { randomKey, randomUint32 } from "../../../shared/rng.ts";
import { EngineHost } from "../../../worker/engine/engineHost.ts";
import type { MeasuredMemory, MemoryCase } from "./memoryCase.ts";

const wanted = JSON.parse(process.argv[2] ?? "") as MemoryCase & { modelDirectory: string };
const { batch, execution, modelDirectory, sequence, steps, threads, trainable, vocabularySize } = wanted;

const baselineBytes = status("VmRSS");
const start = performance.now();
const engine = await EngineHost.start({ modelDirectory, trainable, threads, execution });
const loadSeconds = (performance.now() - start) / 1000;
const loadedBytes = status("VmHWM");
const predicted = engine.memory(batch, sequence);
await engine.setParameters(await engine.initialParameters(1));
const gradient = new Float32Array(engine.layout.elements);
const key = randomKey("bench tokens");
const inputIds = Int32Array.from({ length: batch * sequence }, (_, at) => randomUint32(key, at) % vocabularySize);
const stepSeconds: number[] = [];
let loss = { sum: 0, tokens: 0 };
for (let step = 0; step < steps; step++) {
  const began = performance.now();
  gradient.fill(0);
  loss = await engine.forwardBackward({ batch, sequence, inputIds, labels: inputIds }, gradient, {
    dropout: { seed: 1, step, slot: 0, microBatch: 0 },
  });
  stepSeconds.push((performance.now() - began) / 1000);
}
const answer: MeasuredMemory = {
  predicted,
  baselineBytes,
  loadedBytes,
  peakBytes: status("VmHWM"),
  loadSeconds,
  stepSeconds,
  loss: loss.sum / loss.tokens,
  gradientNorm: Math.hypot(...[gradient.reduce((sum, value) => sum + value * value, 0) ** 0.5]),
  engine: engine.description,
};
await engine.dispose();
process.stdout.write(`${JSON.stringify(answer)}\n`);

function status(field: string): number {
  return (
    1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1])
  );
}
