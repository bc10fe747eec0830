import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { followEvents, readEvents } from "../../../../coordinator/observe/followEvents.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-events-"));
  path = join(directory, "events.jsonl");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const line = (sequence: number, message = `event ${sequence}`) =>
  `${JSON.stringify({ sequence, timeMs: 1000 * sequence, kind: "state", message, data: {} })}\n`;

describe("the events of a run", () => {
  it("are none before the file is there", async () => {
    expect(await readEvents(path)).toEqual([]);
  });

  it("leave out a line that a crash has cut off", async () => {
    await writeFile(path, `${line(1)}${line(2).slice(0, 20)}\n${line(3)}{"sequ`);
    expect((await readEvents(path)).map(({ sequence }) => sequence)).toEqual([1, 3]);
  });

  it("are followed until the run has ended, each once, those written last included", async () => {
    await writeFile(path, line(1) + line(2).slice(0, 30));
    const looks = [
      async () => true,
      async () => {
        await appendFile(path, line(2).slice(30) + line(3, "多字节"));
        return true;
      },
      async () => {
        await appendFile(path, line(4));
        return false;
      },
    ];
    const clock = { monotonicMs: () => 0, wallMs: () => 0, sleep: async () => {} };
    const seen: string[] = [];
    const signal = new AbortController().signal;
    for await (const batch of followEvents({ path, isGoingOn: () => looks.shift()!(), signal, clock })) {
      seen.push(...batch.map(({ message }) => message));
    }
    expect(seen).toEqual(["event 1", "event 2", "多字节", "event 4"]);
  });
});
