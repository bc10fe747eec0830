import { execFileSync } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CoordError } from "../../../../shared/errors.ts";
import { encodeSafetensors, openSafetensors } from "../../../../shared/tensors/safetensors.ts";

let directory: string;
let files = 0;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-safetensors-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function fileOf(bytes: Uint8Array): Promise<string> {
  const path = join(directory, `${files++}.safetensors`);
  await writeFile(path, bytes);
  return path;
}

/** A file with any header text. */
function raw(header: string, data: Uint8Array = new Uint8Array(), announced?: bigint): Uint8Array {
  const text = new TextEncoder().encode(header);
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, announced ?? BigInt(text.length), true);
  return Buffer.concat([prefix, text, data]);
}

async function refusal(bytes: Uint8Array): Promise<string> {
  const path = await fileOf(bytes);
  const thrown = await openSafetensors(path).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(CoordError);
  expect((thrown as CoordError).code).toBe("MODEL_INVALID");
  expect((thrown as CoordError).message).toContain(path);
  return (thrown as CoordError).message;
}

const small = encodeSafetensors(
  [
    { name: "a", shape: [2, 2], data: Float32Array.of(1, -2, 3.5, -0) },
    { name: "b", shape: [1], data: Float32Array.of(Number.POSITIVE_INFINITY) },
  ],
  { format: "pt" },
);

describe("encodeSafetensors", () => {
  it("writes a header padded to a multiple of 8 with spaces, and data in the order given", () => {
    const length = Number(new DataView(small.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    const header = new TextDecoder().decode(small.subarray(8, 8 + length));
    expect(header.trimEnd()).toBe(
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}}',
    );
    expect(small.length).toBe(8 + length + 20);
  });

  it("keeps the order of names that look like numbers or like Object's own properties", async () => {
    const names = ["z", "1", "0", "__proto__", "constructor", 'quote"', "名"];
    const bytes = encodeSafetensors(names.map((name, i) => ({ name, shape: [], data: Float32Array.of(i) })));
    const file = await openSafetensors(await fileOf(bytes));
    expect([...file.entries.keys()]).toEqual(names);
    for (const [i, name] of names.entries()) expect([...(await file.readFloat32(name))]).toEqual([i]);
    await file.close();
  });

  it("refuses a name given twice, the reserved name and data that do not fit the shape", () => {
    const tensor = (name: string) => ({ name, shape: [1], data: Float32Array.of(0) });
    expect(() => encodeSafetensors([tensor("a"), tensor("a")])).toThrow("Two tensors");
    expect(() => encodeSafetensors([tensor("__metadata__")])).toThrow("Two tensors");
    expect(() => encodeSafetensors([{ ...tensor("a"), shape: [2] }])).toThrow("given 1 values");
  });
});

describe("openSafetensors", () => {
  it("reads back what was written, bit for bit", async () => {
    const file = await openSafetensors(await fileOf(small));
    expect(file.metadata.get("format")).toBe("pt");
    expect(file.entries.get("a")).toMatchObject({ dtype: "F32", shape: [2, 2] });
    expect([...(await file.readFloat32("a"))]).toEqual([1, -2, 3.5, -0]);
    expect([...(await file.readBytes("b"))]).toEqual([0, 0, 0x80, 0x7f]);
    await file.close();
  });

  it("widens F16 and BF16 exactly", async () => {
    const halves = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x83ff, 0x7bff, 0x7c00, 0x8000, 0x3555);
    const brains = Uint16Array.of(0x3f80, 0xc000, 0x0001, 0x7f80, 0x8000, 0x3eab, 0x7f7f, 0x0080);
    const header =
      '{"h":{"dtype":"F16","shape":[8],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[8],"data_offsets":[16,32]}}';
    const file = await openSafetensors(
      await fileOf(raw(header, Buffer.concat([new Uint8Array(halves.buffer), new Uint8Array(brains.buffer)]))),
    );
    expect([...(await file.readFloat32("h"))]).toEqual([
      1,
      -2,
      2 ** -24,
      -1023 * 2 ** -24,
      65504,
      Number.POSITIVE_INFINITY,
      -0,
      0.333251953125,
    ]);
    expect([...(await file.readFloat32("b"))]).toEqual([
      1,
      -2,
      2 ** -133,
      Number.POSITIVE_INFINITY,
      -0,
      0.333984375,
      (2 - 2 ** -7) * 2 ** 127,
      2 ** -126,
    ]);
    await file.close();
  });

  it("widens tensors that are longer than one piece", async () => {
    const values = new Uint16Array(5_000_001).map((_, index) => (index * 7919) & 0x7f7f);
    const header = `{"b":{"dtype":"BF16","shape":[${values.length}],"data_offsets":[0,${values.byteLength}]}}`;
    const file = await openSafetensors(await fileOf(raw(header, new Uint8Array(values.buffer))));
    const bits = new Uint32Array((await file.readFloat32("b")).buffer);
    expect(bits.every((value, index) => value === values[index]! << 16)).toBe(true);
    await file.close();
  });

  it("allows white space around the header, tensors without elements and an empty file", async () => {
    const header =
      ' \n{"e":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}} ';
    const file = await openSafetensors(await fileOf(raw(header, new Uint8Array(4))));
    expect([...file.entries.keys()]).toEqual(["e", "s"]);
    expect((await file.readFloat32("e")).length).toBe(0);
    await file.close();
    const empty = await openSafetensors(await fileOf(raw("{}")));
    expect(empty.entries.size).toBe(0);
    await empty.close();
  });

  it("refuses the file cut at any length, naming the bytes it expected", async () => {
    for (let length = 0; length < small.length; length++) {
      const message = await refusal(small.subarray(0, length));
      expect(message).toContain(`file has ${length}: it is truncated`);
    }
  });

  it("never accepts a wrong length and never throws anything but a CoordError when a bit of the header flips", async () => {
    const headerBytes = 8 + Number(new DataView(small.buffer).getBigUint64(0, true));
    let accepted = 0;
    for (let bit = 0; bit < headerBytes * 8; bit++) {
      const flipped = small.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const path = await fileOf(flipped);
      try {
        const file = await openSafetensors(path);
        accepted++;
        // What is accepted still covers the data exactly; only names, metadata or equally wide dtypes have changed.
        const entries = [...file.entries.values()];
        expect(entries.at(-1)?.end).toBe(flipped.length);
        for (const [name, entry] of file.entries) {
          expect((await file.readBytes(name)).length).toBe(entry.end - entry.start);
        }
        await file.close();
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(CoordError);
      }
      await rm(path);
    }
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(headerBytes * 2);
  });

  const tensor = (dtype: string, shape: string, offsets: string) =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
  const four = new Uint8Array(4);
  const eight = new Uint8Array(8);
  it.each<[string, Uint8Array, string]>([
    ["a header longer than allowed", raw("{}", four, 2n ** 64n - 1n), "18446744073709551615 bytes"],
    ["text that is no JSON", raw("{nonsense"), "not valid JSON"],
    ["a header that is no object", raw("[]"), "not a JSON object"],
    ["bytes that are no UTF-8", raw("{}", four).fill(0xff, 8), "not valid JSON"],
    [
      "a name given twice",
      raw(`{"a":${tensor("F32", "[1]", "[0,4]")},"\\u0061":${tensor("F32", "[1]", "[0,4]")}}`, four),
      'the key "a" occurs twice',
    ],
    [
      "a key of a tensor given twice",
      raw('{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', four),
      "occurs twice",
    ],
    [
      "an unknown key",
      raw('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"__proto__":{}}}', four),
      'unknown key "__proto__"',
    ],
    ["a tensor that is no object", raw('{"__proto__":[]}'), '"__proto__" is not an object'],
    ["an unknown dtype", raw(`{"a":${tensor("F33", "[1]", "[0,4]")}}`, four), 'unknown dtype "F33"'],
    ["a negative size", raw(`{"a":${tensor("F32", "[-1]", "[0,4]")}}`, four), "list of sizes"],
    ["a fractional offset", raw(`{"a":${tensor("F32", "[1]", "[0,4.5]")}}`, four), "data_offsets"],
    [
      "offsets beyond what a double can count",
      raw(`{"a":${tensor("F32", "[1]", "[9007199254740993,9007199254740997]")}}`, four),
      "data_offsets",
    ],
    ["three offsets", raw(`{"a":${tensor("F32", "[1]", "[0,4,8]")}}`, four), "data_offsets"],
    ["an end before the start", raw(`{"a":${tensor("F32", "[1]", "[4,0]")}}`, four), "before its start"],
    ["a shape that needs other bytes", raw(`{"a":${tensor("F32", "[2]", "[0,4]")}}`, four), "needs 8 bytes but has 4"],
    [
      "a product that overflows",
      raw(`{"a":${tensor("F32", "[4294967296,4294967296,4294967296,4294967296,0]", "[0,0]")}}`),
      "impossible shape",
    ],
    ["a fraction of a byte", raw(`{"a":${tensor("F4", "[1]", "[0,1]")}}`, four.subarray(3)), "impossible shape"],
    [
      "an overlap",
      raw(`{"a":${tensor("F32", "[1]", "[0,4]")},"b":${tensor("F32", "[1]", "[0,4]")}}`, four),
      "overlaps",
    ],
    ["a gap", raw(`{"a":${tensor("F32", "[1]", "[4,8]")}}`, eight), "leaves a gap"],
    ["bytes behind the last tensor", raw(`{"a":${tensor("F32", "[1]", "[0,4]")}}`, eight), "belong to no tensor"],
    ["metadata that is no text", raw('{"__metadata__":{"a":1}}'), "is not a string"],
    ["hostile nesting", raw(`{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`), "is not an object"],
  ])("refuses %s", async (_, bytes, expected) => {
    expect(await refusal(bytes)).toContain(expected);
  });

  it("carries the caller's error code", async () => {
    await expect(openSafetensors(await fileOf(four), { code: "ADAPTER_INVALID" })).rejects.toMatchObject({
      code: "ADAPTER_INVALID",
    });
  });

  it("names a missing file, a directory and a FIFO without hanging", async () => {
    await expect(openSafetensors(join(directory, "none"))).rejects.toThrow("There is no file");
    await expect(openSafetensors(directory)).rejects.toThrow("not a regular file");
    const fifo = join(directory, "fifo");
    execFileSync("mkfifo", [fifo]);
    await expect(openSafetensors(fifo)).rejects.toThrow("not a regular file");
  });

  it("follows symbolic links, which download caches are made of", async () => {
    const link = join(directory, "link.safetensors");
    await symlink(await fileOf(small), link);
    const file = await openSafetensors(link);
    expect(file.entries.size).toBe(2);
    await file.close();
  });

  it("refuses to widen other types and to read unknown names, and notices a file that shrinks", async () => {
    const path = await fileOf(raw(`{"a":${tensor("I64", "[1]", "[0,8]")}}`, eight));
    const file = await openSafetensors(path);
    await expect(file.readFloat32("a")).rejects.toThrow("dtype I64, not F32");
    await expect(file.readBytes("toString")).rejects.toThrow('no tensor "toString"');
    await writeFile(path, small.subarray(0, 20));
    await expect(file.readBytes("a")).rejects.toThrow("it was truncated");
    await file.close();
  });
});
