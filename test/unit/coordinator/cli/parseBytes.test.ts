import { describe, expect, it } from "vitest";
import { parseBytes } from "../../../../coordinator/cli/parseBytes.ts";

describe("parseBytes", () => {
  it.each([
    ["5GB", 5e9],
    ["200MiB", 200 * 2 ** 20],
    ["1.5 kb", 1500],
    ["123", 123],
  ])("reads %s", (text, bytes) => {
    expect(parseBytes(text, "max-shard-size")).toBe(bytes);
  });

  it.each(["", "GB", "-1GB", "0", "5 parsecs", "1e9"])("refuses %j by the flag's name", (text) => {
    expect(() => parseBytes(text, "max-shard-size")).toThrow("--max-shard-size must be a size such as 5GB");
  });
});
