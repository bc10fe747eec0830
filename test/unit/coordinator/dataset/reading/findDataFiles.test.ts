import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findDataFiles } from "../../../../../coordinator/dataset/reading/findDataFiles.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-files-"));
  await mkdir(join(directory, "deep", "er"), { recursive: true });
  await mkdir(join(directory, "empty"));
  for (const name of ["b.jsonl", "a.csv", ".hidden.jsonl", "notes.md", "deep/c.txt.gz", "deep/er/d.parquet"]) {
    await writeFile(join(directory, name), "x");
  }
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const find = async (...inputs: string[]) =>
  (await findDataFiles(inputs.map((input) => join(directory, input)))).map((path) => relative(directory, path));

describe("findDataFiles", () => {
  it("keeps the order of the list", async () => {
    expect(await find("b.jsonl", "a.csv")).toEqual(["b.jsonl", "a.csv"]);
  });

  it("takes a file by any name when it is named", async () => {
    expect(await find("notes.md")).toEqual(["notes.md"]);
  });

  it("searches a directory and those in it for data files, by name", async () => {
    expect(await find("")).toEqual(["a.csv", "b.jsonl", "deep/c.txt.gz", "deep/er/d.parquet"]);
  });

  it("expands globs", async () => {
    expect(await find("*.{csv,jsonl}")).toEqual(["a.csv", "b.jsonl"]);
    expect(await find("**/*.parquet")).toEqual(["deep/er/d.parquet"]);
  });

  it("takes each file once", async () => {
    expect(await find("b.jsonl", "*.jsonl", "")).toEqual(["b.jsonl", "a.csv", "deep/c.txt.gz", "deep/er/d.parquet"]);
  });

  it.each([
    ["no.jsonl", /no\.jsonl does not exist; check --data/],
    ["*.tsv", /No file matches .*\*\.tsv; check --data/],
    ["empty", /empty has no data file; --data looks for \.json,/],
  ])("says when %s names nothing", async (input, message) => {
    await expect(find(input)).rejects.toMatchObject({
      code: "DATA_INVALID",
      message: expect.stringMatching(message),
    });
  });
});
