import { describe, expect, it } from "vitest";
import { decidePort, portRequest } from "../../../../coordinator/ports/decidePort.ts";
import { parsePortRange } from "../../../../coordinator/ports/portRange.ts";

const range = { from: 29500, to: 29502 };

describe("portRequest", () => {
  it("lets one port outrank a range, and takes any when neither is given", () => {
    expect(portRequest({ port: 29400, portRange: range })).toEqual({ kind: "fixed", port: 29400 });
    expect(portRequest({ port: 0, portRange: range })).toEqual({ kind: "range", range });
    expect(portRequest({ port: 0 })).toEqual({ kind: "any" });
  });
});

describe("decidePort", () => {
  const request = { kind: "range", range } as const;

  it("tries the suggested port, then every port not tried yet, then gives up", () => {
    expect(decidePort(request, new Set(), 29501)).toMatchObject({ kind: "try", port: 29501, leased: true });
    expect(decidePort(request, new Set([29501]), 29501)).toMatchObject({ kind: "try", port: 29500 });
    expect(decidePort(request, new Set([29500, 29501]), undefined)).toMatchObject({ kind: "try", port: 29502 });
    expect(decidePort(request, new Set([29500, 29501, 29502]), 40000)).toMatchObject({ kind: "give up" });
  });

  it("never leaves the range", () => {
    expect(decidePort(request, new Set(), 40000)).toMatchObject({ kind: "try", port: 29500 });
  });

  it("tries a fixed port once", () => {
    const fixed = { kind: "fixed", port: 29400 } as const;
    expect(decidePort(fixed, new Set(), undefined)).toMatchObject({ kind: "try", port: 29400, leased: true });
    expect(decidePort(fixed, new Set([29400]), undefined)).toMatchObject({ kind: "give up" });
  });

  it("leaves the choice to the system, without a lease, when any port will do", () => {
    expect(decidePort({ kind: "any" }, new Set(), undefined)).toMatchObject({ kind: "try", port: 0, leased: false });
    expect(decidePort({ kind: "any" }, new Set([0]), undefined)).toMatchObject({ kind: "give up" });
  });
});

describe("parsePortRange", () => {
  it("takes A-B and refuses everything else", () => {
    expect(parsePortRange("29500-29502")).toEqual(range);
    for (const text of ["29500", "29502-29500", "80-90", "60000-70000", "a-b", ""]) {
      expect(() => parsePortRange(text)).toThrow(/--port-range must be A-B/);
    }
  });
});
