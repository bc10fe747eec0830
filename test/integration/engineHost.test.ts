import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EngineHost } from "../../worker/engine/engineHost.ts";
import { openOnnxEngine } from "../../worker/engine/onnx/openOnnxEngine.ts";
import {
  randomBatch,
  randomParameters,
  randomWeights,
  tinyConfig,
  tinyLora,
  writeModel,
} from "../support/tinyModel.ts";

// A thread's main file has to be JavaScript on Node 20, so the compiled host is tested: `npm run build` first.
const compiled = new URL("../../dist/worker/engine/engineHost.js", import.meta.url).href;
const { EngineHost: CompiledHost } = (await import(compiled)) as { EngineHost: typeof EngineHost };

let modelDirectory: string;
const trainable = { ...tinyLora, dropout: 0.1 };
const batch = randomBatch([11, 7, 9]);
const dropout = { seed: 1, step: 2, slot: 3, microBatch: 0 };

beforeEach(async () => {
  modelDirectory = await writeModel(tinyConfig, randomWeights(tinyConfig));
});
afterEach(() => rm(modelDirectory, { recursive: true, force: true }));

describe("an engine in its own thread", () => {
  it("gives the bytes that the engine gives in this thread, and leaves this thread free while it computes", async () => {
    const direct = await openOnnxEngine(modelDirectory, trainable, 1);
    const hosted = await CompiledHost.start({ modelDirectory, trainable, threads: 1 });
    expect(hosted.description).toBe(direct.description);
    expect(hosted.layout).toEqual(direct.layout);
    expect(await hosted.initialParameters(3)).toEqual(await direct.initialParameters(3));
    expect(hosted.memory(2, 64)).toEqual(direct.memory(2, 64));
    const results = [];
    let turns = 0;
    for (const engine of [direct, hosted]) {
      await engine.setParameters(randomParameters(engine.layout.elements));
      const gradient = new Float32Array(engine.layout.elements).fill(0.5);
      const timer = setImmediate(function turn() {
        turns += engine === hosted ? 1 : 0;
      });
      const loss = await engine.forwardBackward(batch, gradient, { dropout });
      clearImmediate(timer);
      results.push({ loss, gradient, evaluated: await engine.evaluate(batch) });
    }
    expect(results[1]).toEqual(results[0]);
    expect(turns).toBeGreaterThan(0);
    await direct.dispose();
    await hosted.dispose();
  });

  it("lets the process end with its own exit code while it computes", async () => {
    const script = `(async () => {
      const { EngineHost } = await import(process.argv[1]);
      const host = await EngineHost.start(JSON.parse(process.argv[2]));
      const tokens = 8 * 300;
      const batch = { batch: 8, sequence: 300, inputIds: new Int32Array(tokens), labels: new Int32Array(tokens) };
      host.forwardBackward(batch, new Float32Array(host.layout.elements)).catch(() => {});
      setTimeout(() => process.exit(7), 20);
    })()`;
    const options = JSON.stringify({ modelDirectory, trainable, threads: 1 });
    const { exitCode, stderr } = await execa(process.execPath, ["-e", script, compiled, options], {
      reject: false,
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 7, stderr: "" });
  });

  it("keeps the code and the sentence of an error", async () => {
    const hosted = await CompiledHost.start({ modelDirectory, trainable, threads: 1 });
    const wrong = { batch: 1, sequence: 2, inputIds: Int32Array.of(99, 1), labels: Int32Array.of(1, 1) };
    await expect(hosted.evaluate(wrong)).rejects.toMatchObject({
      name: "CoordError",
      code: "MODEL_INVALID",
      message: expect.stringContaining("token id 99"),
    });
    // The engine goes on after a refused batch.
    expect((await hosted.evaluate(batch)).tokens).toBe(21);
    await hosted.dispose();
    await writeFile(join(modelDirectory, "model.safetensors"), "");
    await expect(CompiledHost.start({ modelDirectory, trainable, threads: 1 })).rejects.toMatchObject({
      code: "MODEL_INVALID",
    });
  });
});
