import { statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { kernelMemory, scratch } from "../../../../shared/kernels/kernels.ts";
import { canMap } from "../../../../shared/regions/mapping.ts";
import { Region } from "../../../../shared/regions/region.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const [first, second] = scratch;

describe.each(canMap ? [false, true] : [false])("a region, mapped: %s", (mapped) => {
  it("carries bytes from one that has it open to another, also after it has grown", () => {
    const path = join(temporaryDirectory(), "region");
    const [writer, reader] = [open(path), open(path)];
    for (const length of [10, 100_000, 5_000_000]) {
      writer.extend(length);
      kernelMemory().fill(length % 251, first, first + 10);
      writer.write(first, 10, length - 10);
      reader.read(second, 10, length - 10);
      expect(kernelMemory().subarray(second, second + 10)).toEqual(new Uint8Array(10).fill(length % 251));
    }
    writer.extend(10);
    expect(statSync(path).size).toBe(5_000_000);
  });

  it("is refused when it is a link, or shorter than was said", () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "secret"), "1234");
    symlinkSync(join(directory, "secret"), join(directory, "link"));
    expect(() => open(join(directory, "link"))).toThrow(/ELOOP/);
    expect(() => open(join(directory, "secret")).read(first, 8, 0)).toThrow(/shorter/);
  });

  function open(path: string): Region {
    const region = new Region(path, { mapped });
    onTestFinished(() => region.close());
    return region;
  }
});

it.runIf(process.platform === "linux" && process.arch === "x64")("regions can be mapped on the usual platform", () => {
  expect(canMap).toBe(true);
});
