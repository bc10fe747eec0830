import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { RunEvent } from "../../../../../coordinator/observe/eventLog.ts";
import { frameRecord, maskedCrc32c } from "../../../../../coordinator/observe/tensorboard/recordFraming.ts";
import { TensorBoardWriter } from "../../../../../coordinator/observe/tensorboard/tensorBoardWriter.ts";
import { EventSchema } from "../../../../../shared/gen/tensorboard/event_pb.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-tensorboard-"));
});
afterEach(() => rm(directory, { recursive: true }));

function event(kind: RunEvent["kind"], step: number, loss = step): RunEvent {
  return { sequence: step, timeMs: 1_800_000_000_500, kind, message: "", data: { step, loss } };
}

function record(events: readonly RunEvent[], { loggingSteps = 1, evaluated = [] as number[] } = {}): void {
  const writer = new TensorBoardWriter({ directory, loggingSteps, evaluated });
  for (const one of events) writer.add(one);
  writer.close();
}

/** What each file says, in the order of the names: "loss 1", "eval 1", "from 1". */
async function written(): Promise<string[][]> {
  const names = (await readdir(directory)).sort();
  return Promise.all(
    names.map(async (name) => [...records(await readFile(join(directory, name)))].map(describeRecord)),
  );
}

function* records(file: Buffer): Generator<Buffer> {
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(file.readUInt32LE(at + 8)).toBe(maskedCrc32c(file.subarray(at, at + 8)));
    expect(file.readUInt32LE(at + 12 + length)).toBe(maskedCrc32c(data));
    yield data;
    at += 16 + length;
  }
}

function describeRecord(data: Buffer): string {
  const { step, wallTime, what } = fromBinary(EventSchema, data);
  expect(wallTime).toBe(1_800_000_000.5);
  if (what.case === "fileVersion") return what.value;
  if (what.case === "sessionLog") return `from ${step}`;
  return what.value!.value.map(({ tag, value }) => `${tag} ${step}=${value.value}`).join(" ");
}

describe("a record", () => {
  it("has the checksum that the CRC-32C standard gives, masked as TensorFlow masks it", () => {
    // RFC 3720, B.4: 32 bytes of zeros have CRC-32C 0x8a9136aa.
    const crc = 0x8a9136aa;
    expect(maskedCrc32c(new Uint8Array(32))).toBe((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
    expect(frameRecord(new Uint8Array(5))).toHaveLength(21);
  });
});

describe("an event file", () => {
  it("has its version first, then steps and held-out losses", async () => {
    record([event("evaluation", 0, 4), event("state", 1), event("step", 1, 3), event("step", 2, 2)]);
    expect(await written()).toEqual([["brain.Event:2", "eval/loss 0=4", "from 1", "train/loss 1=3", "train/loss 2=2"]]);
  });

  it("is not made for a run without figures", async () => {
    record([event("state", 1)]);
    expect(await readdir(directory)).toEqual([]);
  });

  it("has a point at the first step and at each multiple of the logging steps", async () => {
    record(
      [1, 2, 3, 4, 5, 6].map((step) => event("step", step)),
      { loggingSteps: 3 },
    );
    expect(await written()).toEqual([
      ["brain.Event:2", "from 1", "train/loss 1=1", "train/loss 3=3", "train/loss 6=6"],
    ]);
  });

  it("of a resumed run comes after the earlier one and tells readers what is taken again", async () => {
    record([event("evaluation", 0), event("step", 1), event("step", 2), event("evaluation", 2), event("step", 3)]);
    record([event("evaluation", 2), event("step", 3), event("evaluation", 3)], { evaluated: [0, 2] });
    expect((await written())[1]).toEqual(["brain.Event:2", "from 3", "train/loss 3=3", "eval/loss 3=3"]);
  });

  it("says what is taken again even where the repeated step itself has no point", async () => {
    record([event("step", 4), event("step", 5), event("step", 6)], { loggingSteps: 3, evaluated: [5] });
    expect(await written()).toEqual([["brain.Event:2", "from 4", "train/loss 6=6"]]);
  });

  it("tells readers when training goes back to a checkpoint", async () => {
    record([event("step", 1), event("step", 2), event("evaluation", 2), event("step", 2), event("evaluation", 2)]);
    expect((await written())[0]?.slice(3)).toEqual([
      "train/loss 2=2",
      "eval/loss 2=2",
      "from 2",
      "train/loss 2=2",
      "eval/loss 2=2",
    ]);
  });
});
