import { crc32, inflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { EventKind, RunEvent } from "../../../../../coordinator/observe/eventLog.ts";
import { axisTicks } from "../../../../../coordinator/observe/results/axisTicks.ts";
import { renderPng } from "../../../../../coordinator/observe/results/chart/renderPng.ts";
import { renderSvg } from "../../../../../coordinator/observe/results/chart/renderSvg.ts";
import { lossPicture } from "../../../../../coordinator/observe/results/lossCurve.ts";
import { runHistory } from "../../../../../coordinator/observe/results/runHistory.ts";
import { allResults, trainResults } from "../../../../../coordinator/observe/results/trainResults.ts";

type Written = readonly [seconds: number, kind: EventKind, data: Record<string, unknown>];

function eventsOf(...written: readonly Written[]): RunEvent[] {
  return written.map(([seconds, kind, data], index) => ({
    sequence: index + 1,
    timeMs: seconds * 1000,
    kind,
    message: "",
    data,
  }));
}

const step = (seconds: number, number: number, loss: number, stepMs = 1000): Written => [
  seconds,
  "step",
  { step: number, loss, stepMs, epoch: number / 4, inputTokens: 100 * number },
];
const preparing: Written = [0, "state", { state: "preparing" }];
const data: Written = [5, "data", { trainSize: 40, evaluationSize: 8 }];
const formed = (seconds: number, generation = 1): Written => [seconds, "membership", { generation, members: 2 }];

describe("runHistory", () => {
  it("counts the runtime from the first worker group to the end", () => {
    const history = runHistory(
      eventsOf(preparing, data, formed(10), step(11, 1, 3), step(12, 2, 2), [13, "state", { state: "finished" }]),
    );
    expect(history).toMatchObject({ runtimeMs: 3000, productiveMs: 2000, restartMs: 0, repeatedMs: 0, restarts: [] });
    expect(history.training).toEqual([
      { step: 1, loss: 3 },
      { step: 2, loss: 2 },
    ]);
  });

  it("counts the time from the last commit to the next worker group as lost to a restart", () => {
    const history = runHistory(eventsOf(preparing, data, formed(10), step(11, 1, 3), formed(15, 2), step(16, 2, 2)));
    expect(history).toMatchObject({ runtimeMs: 6000, productiveMs: 2000, restartMs: 4000, restarts: [2] });
  });

  it("takes steps back that are done again after a return to a checkpoint, and counts them once", () => {
    const history = runHistory(
      eventsOf(
        ...[preparing, data, formed(10), step(11, 1, 3), step(12, 2, 2)],
        [12.5, "evaluation", { step: 2, loss: 2.5 }],
        ...([[13, "warning", { step: 1 }], formed(15, 2), step(16, 2, 2.1)] as const),
      ),
    );
    expect(history.training).toEqual([
      { step: 1, loss: 3 },
      { step: 2, loss: 2.1 },
    ]);
    expect(history.evaluations).toEqual([]);
    expect(history).toMatchObject({ repeatedMs: 1000, productiveMs: 2000 });
  });

  it("does not count the pause between a stop and a resume, nor the start of the resumed coordinator", () => {
    const history = runHistory(
      eventsOf(
        ...([preparing, data, formed(10), step(11, 1, 3), [12, "state", { state: "stopped" }]] as const),
        ...([[1000, "state", { state: "preparing" }], data, [1001, "state", { step: 1 }]] as const),
        ...([formed(1010, 2), step(1011, 2, 2), [1012, "state", { state: "finished" }]] as const),
      ),
    );
    expect(history).toMatchObject({ runtimeMs: 4000, restartMs: 0, restarts: [] });
  });

  it("counts a coordinator that crashed as lost time", () => {
    const history = runHistory(
      eventsOf(preparing, data, formed(10), step(11, 1, 3), [20, "state", { state: "preparing" }], formed(21, 2)),
    );
    expect(history).toMatchObject({ runtimeMs: 11_000, restartMs: 10_000 });
  });

  it("replaces a held-out loss that was measured again at the same step", () => {
    const history = runHistory(
      eventsOf([1, "evaluation", { step: 0, loss: 4 }], [2, "evaluation", { step: 0, loss: 4 }]),
    );
    expect(history.evaluations).toEqual([{ step: 0, loss: 4 }]);
  });
});

describe("the results files", () => {
  const history = runHistory(
    eventsOf(
      ...[preparing, data, formed(10), step(11, 1, 3), step(12, 2, 2), step(13, 3, 1), formed(15, 2), step(16, 4, 2)],
      [17, "evaluation", { step: 4, loss: Math.log(5) }],
      [20, "state", { state: "finished" }],
    ),
  );

  it("have HuggingFace's names and say where the time went", () => {
    expect(trainResults(history)).toEqual({
      epoch: 1,
      train_loss: 2,
      train_runtime: 10,
      train_samples: 40,
      train_samples_per_second: 4,
      train_steps_per_second: 0.4,
      train_tokens_per_second: 40,
      num_input_tokens_seen: 400,
      goodput: 0.4,
      restarts: 1,
      lost_to_restarts_seconds: 2,
      lost_to_repeated_steps_seconds: 0,
    });
  });

  it("add the held-out loss and its perplexity", () => {
    const results = allResults(history);
    expect(results).toMatchObject({ eval_loss: Math.log(5), eval_samples: 8, train_loss: 2 });
    expect(results.perplexity).toBeCloseTo(5, 12);
    expect(allResults(runHistory([]))).not.toHaveProperty("eval_loss");
  });
});

describe("the loss curve", () => {
  const lossCurve = (...given: Parameters<typeof lossPicture>) => renderSvg(lossPicture(...given));
  const training = Array.from({ length: 5000 }, (_, index) => ({ step: index + 1, loss: 4 - index / 2500 }));
  const evaluations = [
    { step: 0, loss: 4.5 },
    { step: 5000, loss: 2.2 },
  ];

  it("labels its axes, and draws both losses and the restarts inside its frame", () => {
    const svg = lossCurve({ training, evaluations, restarts: [1200] }, "Loss of <run>");
    expect(svg).toContain(">step</text>");
    expect(svg).toContain(">loss (nats per token)</text>");
    expect(svg).toContain("<title>Loss of &lt;run&gt;</title>");
    expect(svg.match(/<circle/g)).toHaveLength(2);
    expect(svg.match(/stroke-dasharray/g)).toHaveLength(1);
    const curves = /points="([^"]*)" fill="none" stroke="#(?:9ec3e6|1f6fb4|c8501e)" stroke-width="[12]"/g;
    const lines = [...svg.matchAll(curves)].map(([, text]) => text).join(" ");
    const points = [...lines.matchAll(/([\d.-]+),([\d.-]+)/g)].map(([, x, y]) => [Number(x), Number(y)] as const);
    expect(points.length).toBeLessThan(4000);
    for (const [x, y] of points) {
      expect(x).toBeGreaterThanOrEqual(72);
      expect(x).toBeLessThanOrEqual(876);
      expect(y).toBeGreaterThanOrEqual(56);
      expect(y).toBeLessThanOrEqual(420);
    }
    // The last point of the training line is the last step.
    expect(points.some(([x]) => x === 876)).toBe(true);
  });

  it("copes with one step, equal losses and losses that are not finite", () => {
    const one = lossCurve({ training: [{ step: 1, loss: 2 }], evaluations: [], restarts: [] }, "one");
    const none = lossCurve({ training: [{ step: 1, loss: Number.NaN }], evaluations: [], restarts: [] }, "none");
    for (const svg of [one, none]) expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe("the loss curve as PNG", () => {
  /** Reads back what renderPng writes, by the format's own words. */
  function decode(png: Uint8Array) {
    const bytes = Buffer.from(png);
    expect(bytes.subarray(0, 8).toString("latin1")).toBe("\u0089PNG\r\n\u001a\n");
    const chunks = new Map<string, Buffer>();
    for (let at = 8; at < bytes.length; ) {
      const length = bytes.readUInt32BE(at);
      const body = bytes.subarray(at + 4, at + 8 + length);
      expect(bytes.readUInt32BE(at + 8 + length)).toBe(crc32(body));
      chunks.set(body.subarray(0, 4).toString("latin1"), body.subarray(4));
      at += 12 + length;
    }
    const [width, height] = [0, 4].map((at) => chunks.get("IHDR")!.readUInt32BE(at)) as [number, number];
    const rows = inflateSync(chunks.get("IDAT")!);
    const stride = 3 * width + 1;
    expect(rows).toHaveLength(height * stride);
    const pixels = Buffer.alloc(3 * width * height);
    for (let row = 0; row < height; row++) {
      expect(rows[row * stride]).toBe(2);
      for (let at = 0; at < 3 * width; at++) {
        const above = row === 0 ? 0 : pixels[(row - 1) * 3 * width + at]!;
        pixels[row * 3 * width + at] = (rows[row * stride + 1 + at]! + above) & 255;
      }
    }
    return {
      width,
      height,
      at: (x: number, y: number) => [...pixels.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)],
    };
  }

  it("has lines, dots and text in their colours where the picture has them", () => {
    const blue = {
      kind: "path",
      color: "#1f6fb4",
      width: 2,
      points: [
        { x: 5, y: 10 },
        { x: 35, y: 10 },
      ],
    } as const;
    const dot = { kind: "dot", color: "#c8501e", radius: 3, at: { x: 20, y: 20 } } as const;
    const dashed = {
      ...blue,
      color: "#b08900",
      dashed: true,
      points: [
        { x: 38, y: 0 },
        { x: 38, y: 40 },
      ],
    } as const;
    const letter = { kind: "text", text: "I", at: { x: 2, y: 38 }, anchor: "start" } as const;
    const picture = { width: 40, height: 40, title: "", shapes: [blue, dot, dashed, letter] };
    const { at, height, width } = decode(renderPng(picture));
    expect([width, height]).toEqual([80, 80]);
    expect(at(40, 20)).toEqual([0x1f, 0x6f, 0xb4]);
    expect(at(40, 24)).toEqual([255, 255, 255]);
    expect(at(40, 40)).toEqual([0xc8, 0x50, 0x1e]);
    expect([at(76, 4), at(76, 12), at(76, 20)].map(([red]) => red)).toEqual([0xb0, 255, 0xb0]);
    // The stem of the letter: the third of its five columns.
    expect(at(4 + 4, 70)).toEqual([0x24, 0x29, 0x2f]);
    expect(at(4, 70)).toEqual([255, 255, 255]);
  });

  it("draws a whole run in little room", () => {
    const training = Array.from({ length: 5000 }, (_, index) => ({
      step: index + 1,
      loss: 4 - index / 2500 + (index % 7) / 20,
    }));
    const png = renderPng(
      lossPicture({ training, evaluations: [], restarts: [100] }, "Loss of run 20261120-2154-k3f9"),
    );
    expect(decode(png)).toMatchObject({ width: 1800, height: 960 });
    expect(png.length).toBeLessThan(150_000);
  });
});

describe("axisTicks", () => {
  it.each([
    [{ from: 0, to: 100 }, ["0", "20", "40", "60", "80", "100"]],
    [{ from: 1.93, to: 2.31 }, ["2.0", "2.1", "2.2", "2.3"]],
    [{ from: 0, to: 27_974 }, ["0", "5,000", "10,000", "15,000", "20,000", "25,000"]],
  ])("puts round numbers into %o", (range, labels) => {
    expect(axisTicks(range, 5).map(({ label }) => label)).toEqual(labels);
  });
});
