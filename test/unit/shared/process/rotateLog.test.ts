import { appendFileSync, closeSync, existsSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { LineTail } from "../../../../coordinator/observe/lineTail.ts";
import { rotateLog } from "../../../../shared/process/rotateLog.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const limits = { bytes: 10, kept: 2 };

describe("a log file", () => {
  it("is left alone while it is small, or not there", async () => {
    const path = join(temporaryDirectory(), "log");
    expect(await rotateLog(path, limits)).toBe(false);
    writeFileSync(path, "small\n");
    expect(await rotateLog(path, limits)).toBe(false);
    expect(readFileSync(path, "utf8")).toBe("small\n");
  });

  it("is moved aside when it is large; the process that writes it goes on at its start", async () => {
    const path = join(temporaryDirectory(), "log");
    const writer = openSync(path, "a");
    for (const line of ["the first line\n", "the second line\n", "the third line\n", "the fourth line\n"]) {
      writeSync(writer, line);
      expect(await rotateLog(path, limits)).toBe(true);
    }
    writeSync(writer, "new\n");
    closeSync(writer);
    expect(readFileSync(path, "utf8")).toBe("new\n");
    expect(readFileSync(`${path}.1`, "utf8")).toBe("the fourth line\n");
    expect(readFileSync(`${path}.2`, "utf8")).toBe("the third line\n");
    expect(existsSync(`${path}.3`)).toBe(false);
  });

  it("is followed across the move", async () => {
    const path = join(temporaryDirectory(), "log");
    writeFileSync(path, "a long first line\n");
    const tail = new LineTail(path);
    expect(await tail.read(false)).toEqual(["a long first line"]);
    await rotateLog(path, limits);
    appendFileSync(path, "next\n");
    expect(await tail.read(false)).toEqual(["next"]);
  });
});
