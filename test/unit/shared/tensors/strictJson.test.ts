import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseStrictJson } from "../../../../shared/tensors/strictJson.ts";

describe("parseStrictJson", () => {
  it("agrees with JSON.parse on everything that has no duplicate keys", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, "\t"), (value, space) => {
        const text = JSON.stringify(value, undefined, space);
        expect(parseStrictJson(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it("refuses a duplicate key at any depth and however it is spelt", () => {
    for (const text of [
      '{"a":1,"a":1}',
      '[{"b":{"a":1 , "x":[{}], "a" \n: 2}}]',
      '{"\\u0061":1,"a":2}',
      '{"__proto__":1,"__proto__":2}',
      '{"\\"":1,"\\"":2}',
    ]) {
      expect(() => parseStrictJson(text)).toThrow(/occurs twice/);
    }
  });

  it("allows the same key in different objects and the same text as key and value", () => {
    const text = '{"a":{"a":"a"},"b":[{"a":1},{"a":"b:"}],"c":"a"}';
    expect(parseStrictJson(text)).toEqual(JSON.parse(text));
  });

  it("refuses what is not JSON", () => {
    for (const text of ["", "{", '{"a"', '"\\', "nul"]) expect(() => parseStrictJson(text)).toThrow(SyntaxError);
  });
});
