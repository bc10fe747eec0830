import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { createFileAtomic, readJsonFile, writeFileAtomic } from "../../../../shared/process/atomicFile.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const schema = z.strictObject({ n: z.number() });

describe("writeFileAtomic", () => {
  it("replaces a file, with the mode asked for and without leaving anything else", async () => {
    const directory = temporaryDirectory();
    const path = join(directory, "a.json");
    await writeFileAtomic(path, "old");
    await writeFileAtomic(path, "new", { mode: 0o640 });
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(directory)).toEqual(["a.json"]);
  });

  it("says where it could not write, and leaves nothing half", async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, "taken"));
    await expect(writeFileAtomic(join(directory, "taken"), "x")).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    await expect(writeFileAtomic(join(directory, "missing", "a"), "x")).rejects.toThrow(
      /missing\/a: the directory does not exist/,
    );
    expect(readdirSync(directory)).toEqual(["taken"]);
  });
});

describe("createFileAtomic", () => {
  it("lets exactly one of many callers create a file, which is then complete", async () => {
    const directory = temporaryDirectory();
    const path = join(directory, "a");
    const created = await Promise.all(Array.from({ length: 20 }, (_, i) => createFileAtomic(path, `writer ${i}`)));
    expect(created.filter(Boolean)).toHaveLength(1);
    expect(readFileSync(path, "utf8")).toBe(`writer ${created.indexOf(true)}`);
    expect(readdirSync(directory)).toEqual(["a"]);
  });
});

describe("readJsonFile", () => {
  it("gives undefined where there is no file", async () => {
    expect(await readJsonFile(join(temporaryDirectory(), "a"), schema)).toBeUndefined();
  });

  it("names a file that is damaged or has unknown keys", async () => {
    const path = join(temporaryDirectory(), "a.json");
    for (const [text, problem] of [
      ['{"n":', /a\.json is damaged: it is not JSON/],
      ['{"n":1,"m":2}', /a\.json .*Unrecognized key: "m"/],
      ['{"n":"1"}', /a\.json .*expected number/],
    ] as const) {
      writeFileSync(path, text);
      await expect(readJsonFile(path, schema)).rejects.toThrow(problem);
    }
  });

  it("follows no symbolic link and reads no directory", async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "real"), '{"n":1}');
    symlinkSync(join(directory, "real"), join(directory, "link"));
    await expect(readJsonFile(join(directory, "link"), schema)).rejects.toThrow(/symbolic link/);
    await expect(readJsonFile(directory, schema)).rejects.toThrow(/not a regular file/);
  });
});
