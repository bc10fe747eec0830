import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { cacheKey, shapingLibraries, type TokenFileInputs } from "../../../../coordinator/dataset/cacheKey.ts";
import { tinyTokenizer } from "../../../support/tinyTokenizer.ts";

const inputs: TokenFileInputs = {
  data: [{ sha256: "aa", kind: "json" }],
  evalData: undefined,
  files: tinyTokenizer("/model"),
  format: "auto",
  columns: [],
  skipBadRows: false,
  maxTrainSamples: undefined,
  maxEvalSamples: undefined,
  chatTemplate: "auto",
  maxLength: 512,
  longSamples: "truncate",
  truncationSide: "right",
  trainOnInputs: false,
  holdOut: undefined,
};

describe("cacheKey", () => {
  it("differs when any input differs", () => {
    const others: TokenFileInputs[] = [
      { ...inputs, data: [{ sha256: "bb", kind: "json" }] },
      { ...inputs, data: [{ sha256: "aa", kind: "text" }] },
      { ...inputs, evalData: [{ sha256: "aa", kind: "json" }] },
      { ...inputs, files: { ...inputs.files, tokenizer: "{}" } },
      { ...inputs, files: { ...inputs.files, config: undefined } },
      { ...inputs, files: { ...inputs.files, chatTemplate: "" } },
      { ...inputs, data: [...inputs.data, ...inputs.data] },
      { ...inputs, format: "text" },
      { ...inputs, columns: ["text=body"] },
      { ...inputs, skipBadRows: true },
      { ...inputs, maxTrainSamples: 10 },
      { ...inputs, maxEvalSamples: 10 },
      { ...inputs, chatTemplate: "vicuna" },
      { ...inputs, maxLength: 513 },
      { ...inputs, trainOnInputs: true },
      { ...inputs, holdOut: { fraction: 0.1, seed: 1 } },
      { ...inputs, holdOut: { fraction: 0.1, seed: 2 } },
    ];
    expect(new Set([inputs, ...others].map(cacheKey)).size).toBe(others.length + 1);
  });

  it("is the same wherever the files are, and in whatever order the inputs were put together", () => {
    const moved = { ...inputs, files: { ...inputs.files, directory: "/elsewhere" } };
    const reversed = Object.fromEntries(Object.entries(moved).reverse()) as unknown as TokenFileInputs;
    expect(cacheKey(reversed)).toBe(cacheKey(inputs));
    expect(cacheKey(inputs)).toMatch(/^[0-9a-f]{64}$/);
  });

  it("counts the libraries that are really installed", () => {
    const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
    for (const [name, version] of Object.entries(shapingLibraries)) expect(dependencies[name]).toBe(version);
  });
});
