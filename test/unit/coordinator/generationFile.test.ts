import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GenerationFile } from "../../../coordinator/generationFile.ts";

describe("GenerationFile", () => {
  let path: string;
  beforeEach(() => {
    path = join(mkdtempSync(join(tmpdir(), "coord-generation-")), "generation");
  });
  afterEach(() => rmSync(join(path, ".."), { recursive: true, force: true }));

  it("only grows, over restarts too, and is on disk before it is given out", () => {
    const file = new GenerationFile(path);
    expect([file.next(), file.next()]).toEqual([1n, 2n]);
    expect(readFileSync(path, "utf8")).toBe("2\n");
    expect(new GenerationFile(path).next()).toBe(3n);
  });

  it("tells a coordinator that another one has taken over, before it gives a number out twice", () => {
    const old = new GenerationFile(path);
    old.next();
    old.check();
    expect(new GenerationFile(path).next()).toBe(2n);
    expect(() => old.check()).toThrow(/taken this run over \(generation 2, this one has 1\)/);
    expect(() => old.next()).toThrow(expect.objectContaining({ code: "RUN_IN_USE" }));
    expect(readFileSync(path, "utf8")).toBe("2\n");
  });

  it("never goes below what a checkpoint knows, even when the file is lost or damaged", () => {
    writeFileSync(path, "garbage");
    const file = new GenerationFile(path);
    file.raiseTo(41n);
    file.raiseTo(7n);
    expect(file.next()).toBe(42n);
  });
});
