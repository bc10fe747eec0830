import { describe, expect, it } from "vitest";
import { differingFile, type HostExpectations, judgeHost } from "../../../../../coordinator/launch/ssh/judgeHosts.ts";
import type { HostFacts } from "../../../../../shared/hosts/messages.ts";

const modelFiles = [
  { name: "config.json", bytes: 10, digest: "aa" },
  { name: "model.safetensors", bytes: 1000, digest: "bb" },
];
const expected: HostExpectations = {
  version: "1.0.0",
  node: "v20.19.0",
  gpus: 2,
  model: "/models/m",
  modelFiles,
  threadsPerWorker: 2,
  device: "auto",
};
const good: HostFacts = {
  hostname: "a",
  node: "v20.20.1",
  version: "1.0.0",
  processors: 8,
  gpus: 2,
  clockMs: 1_000_500,
  home: "/home/u/.coord",
  freeBytes: 2 ** 40,
  model: modelFiles,
};

function problemsOf(change: Partial<HostFacts>, wanted: Partial<HostExpectations> = {}) {
  const answer = { facts: { ...good, ...change }, askedMs: 1_000_000, answeredMs: 1_001_000 };
  return judgeHost(answer, { ...expected, ...wanted }).map(
    ({ fatal, problem }) => `${fatal ? "no" : "ok"}: ${problem}`,
  );
}

describe("judgeHost", () => {
  it("has nothing to say about a host that is as it should be", () => {
    expect(problemsOf({})).toEqual([]);
  });

  it.each([
    [{ version: "0.9.0" }, /^no: coord is 0\.9\.0 there, 1\.0\.0 here/],
    [{ node: "v22.1.0" }, /^ok: Node is v22/],
    [{ model: undefined, modelProblem: "ENOENT" }, /^no: the model cannot be read: ENOENT; put it at \/models\/m/],
    [{ model: [modelFiles[0]!] }, /^no: the model is another one: model\.safetensors is missing/],
    [{ callbackProblem: "refused" }, /^no: cannot reach back: refused; check --interface/],
    [{ homeProblem: "EROFS" }, /^no: .*\.coord cannot be written: EROFS/],
    [{ freeBytes: 1024 ** 2 }, /^no: .* has 1 MiB left/],
    [{ gpus: 1 }, /^ok: 2 workers for 1 GPUs/],
    [{ processors: 2 }, /^ok: 4 compute threads for 2 processors/],
    [{ clockMs: 1_030_500 }, /^ok: its clock is 30\.0 s ahead/],
    [{ clockMs: 500 }, /^no: its clock is 1000\.0 s behind; set it/],
  ] as [Partial<HostFacts>, RegExp][])("tells of %j", (change, sentence) => {
    const problems = problemsOf(change);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(sentence);
  });

  it("does not take a slow answer for a wrong clock", () => {
    const answer = { facts: { ...good, clockMs: 1_019_000 }, askedMs: 1_000_000, answeredMs: 1_020_000 };
    expect(judgeHost(answer, expected)).toEqual([]);
  });
});

describe("differingFile", () => {
  it("tells size from content, and does not mind files that only the other side has", () => {
    const [config, weights] = modelFiles as [(typeof modelFiles)[0], (typeof modelFiles)[0]];
    expect(differingFile([config, weights, { ...config, name: "extra.json" }], modelFiles)).toBeUndefined();
    expect(differingFile([config, { ...weights, bytes: 999 }], modelFiles)).toMatch(/999 bytes there, 1000 here/);
    expect(differingFile([config, { ...weights, digest: "cc" }], modelFiles)).toMatch(/another content/);
  });
});
