import { appendFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { followLogs } from "../../../../coordinator/observe/followLogs.ts";
import { logRenderer, parseLogLine, renderLogLine } from "../../../../coordinator/observe/logLine.ts";
import { logSource } from "../../../../coordinator/observe/logSource.ts";
import { startMs } from "./literals.ts";

const json = (timeMs: number, msg: string, more: object = {}) =>
  JSON.stringify({ level: 30, time: new Date(timeMs).toISOString(), pid: 1, name: "worker", ...more, msg });

describe("logSource", () => {
  it.each([
    ["coordinator.log", { label: "coordinator" }],
    ["agent_1.log", { label: "agent 1" }],
    ["attempt_0/3/stderr.log", { label: "rank 3", rank: 3 }],
    ["attempt_2/11/stdout.log", { label: "rank 11, attempt 2", rank: 11 }],
    ["attempt_0/3/core", undefined],
    ["notes.txt", undefined],
  ])("reads the path %s", (path, source) => expect(logSource(path)).toEqual(source));
});

describe("parseLogLine", () => {
  it("gives a logger's line as time, level, message, fields and cause", () => {
    const text = json(startMs, "it broke", { level: 50, step: 3, err: { message: "no memory", stack: "…" } });
    const line = parseLogLine("rank 3", text, 0);
    expect(line.timeMs).toBe(startMs);
    expect(renderLogLine(line)).toBe("[rank 3] 21:54:03 error: it broke step=3 (no memory)");
  });

  it.each(["plain text", "{ not json", '{"a":1}'])("leaves %s as it is, at the time of the line before", (text) => {
    expect(parseLogLine("agent 0", text, 7)).toEqual({ source: "agent 0", timeMs: 7, text });
  });
});

describe("logRenderer", () => {
  it("lets the first error stand out, and nothing after it", () => {
    const render = logRenderer({ bold: (text) => `*${text}*`, red: (text) => `!${text}!` });
    const error = json(startMs, "it broke", { level: 50 });
    const lines = ["starting", "TypeError: x is not a function", "    at f (a.js:1:1)", error];
    expect(lines.map((line) => render(parseLogLine("rank 1", line, 0)))).toEqual([
      "[rank 1] starting",
      "*![rank 1] TypeError: x is not a function!*",
      "[rank 1]     at f (a.js:1:1)",
      "[rank 1] 21:54:03 error: it broke",
    ]);
  });

  it.each(["errors: 0", "no Error here", "loss 0.3", "HTTPError was not seen"])("does not take %j for one", (text) => {
    expect(parseLogLine("rank 0", text, 0).isError).toBeUndefined();
  });
});

describe("followLogs", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "coord-logs-"));
    for (const rank of [0, 1]) await mkdir(join(directory, "attempt_0", String(rank)), { recursive: true });
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const file = (rank: number) => join(directory, "attempt_0", String(rank), "stderr.log");

  it("leaves out what is older than wanted, also lines that have their time from the one before", async () => {
    const lines = [json(startMs, "old"), "older still", json(startMs + 1000, "new"), "as new"];
    await writeFile(file(0), `${lines.join("\n")}\n`);
    expect(await collect({ sinceMs: startMs + 500 })).toEqual(["[rank 0] 21:54:04 new", "[rank 0] as new"]);
  });

  async function collect(options: { rank?: number; sinceMs?: number; looks?: (() => Promise<void>)[] } = {}) {
    const looks = [...(options.looks ?? [])];
    const lines: string[] = [];
    const batches = followLogs({
      directory,
      ...(options.rank === undefined ? {} : { rank: options.rank }),
      ...(options.sinceMs === undefined ? {} : { sinceMs: options.sinceMs }),
      signal: new AbortController().signal,
      clock: { monotonicMs: () => 0, wallMs: () => 0, sleep: async () => looks.shift()?.() },
      isGoingOn: async () => looks.length > 0,
    });
    for await (const batch of batches) lines.push(...batch.map(renderLogLine));
    return lines;
  }

  it("merges the files in order of time and keeps a stack trace below its line", async () => {
    await writeFile(file(0), `${json(startMs, "first")}\n  at somewhere\n${json(startMs + 2000, "third")}\n`);
    await writeFile(file(1), `${json(startMs + 1000, "second")}\nno line break`);
    expect(await collect()).toEqual([
      "[rank 0] 21:54:03 first",
      "[rank 0]   at somewhere",
      "[rank 1] 21:54:04 second",
      "[rank 1] no line break",
      "[rank 0] 21:54:05 third",
    ]);
  });

  it("prints one rank alone", async () => {
    await writeFile(file(0), "zero\n");
    await writeFile(file(1), "one\n");
    expect(await collect({ rank: 1 })).toEqual(["[rank 1] one"]);
  });

  it("follows growth and new files, and never splits a line or a character", async () => {
    const character = Buffer.from("医");
    await writeFile(file(0), Buffer.concat([Buffer.from("half "), character.subarray(0, 1)]));
    const looks = [
      () => appendFile(file(0), Buffer.concat([character.subarray(1), Buffer.from(" line\n")])),
      () => writeFile(file(1), "new file\n"),
    ];
    expect(await collect({ looks })).toEqual(["[rank 0] half 医 line", "[rank 1] new file"]);
  });

  it("has nothing to say about a run without logs", async () => {
    await rm(directory, { recursive: true });
    expect(await collect()).toEqual([]);
  });
});
