import { describe, expect, it } from "vitest";
import { tlsMode } from "../../../../shared/config/tlsMode.ts";

describe("tlsMode", () => {
  it.each([
    [{ listen: "127.0.0.1" }, "none"],
    [{ listen: "::1" }, "none"],
    [{ listen: "0.0.0.0" }, "run"],
    [{ listen: "10.0.0.1" }, "run"],
    [{ listen: "127.0.0.1.example" }, "run"],
    [{ listen: "0.0.0.0", insecure: true }, "none"],
    [{ listen: "0.0.0.0", tlsCert: "a", tlsKey: "b" }, "files"],
    [{ listen: "0.0.0.0", tlsCert: "a", tlsKey: "b", insecure: true }, "files"],
  ] as const)("%j: %s", (settings, mode) => {
    expect(tlsMode({ insecure: false, ...settings } as never)).toBe(mode);
  });
});
