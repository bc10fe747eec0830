import { describe, expect, it } from "vitest";
import { allowedNames, bearerToken, hostName, routeOf } from "../../../../coordinator/dashboard/access.ts";

describe("the name in a Host header", () => {
  it("is read without its port", () => {
    expect(hostName("Localhost:8080")).toBe("localhost");
    expect(hostName("127.0.0.1")).toBe("127.0.0.1");
    expect(hostName("[::1]:8080")).toBe("::1");
  });

  it("is none where the header is missing or malformed", () => {
    for (const header of [undefined, "", "a b", "localhost:port", "user@localhost", "localhost:1:2"]) {
      expect(hostName(header)).toBeUndefined();
    }
  });

  it("may be one of loopback, and one of this host only where it listens to the network", () => {
    expect(allowedNames("127.0.0.1", ["gpu-1"])).toEqual(new Set(["localhost", "127.0.0.1", "::1"]));
    expect(allowedNames("0.0.0.0", ["GPU-1"])).toEqual(new Set(["localhost", "127.0.0.1", "::1", "0.0.0.0", "gpu-1"]));
  });
});

it("a token is taken from a well-formed Authorization header alone", () => {
  expect(bearerToken("Bearer abc-_")).toBe("abc-_");
  for (const header of [undefined, "abc", "Basic abc", "Bearer a b"]) expect(bearerToken(header)).toBe("");
});

it("paths that are not served are not read as anything", () => {
  expect(routeOf("GET", "/")).toEqual({ kind: "page" });
  expect(routeOf("GET", "/api/runs/20261120-2154-k3f9/stream")).toMatchObject({ kind: "run", what: "stream" });
  expect(routeOf("POST", "/api/runs/20261120-2154-k3f9/stop")).toMatchObject({ kind: "steer", wish: "stop" });
  const strange: [string, string][] = [
    ["GET", "/api/runs/20261120-2154-k3f9/stop"],
    ["POST", "/api/runs/20261120-2154-k3f9/stream"],
    ["GET", "/api/runs/../../etc/passwd"],
    ["GET", "/api/runs/r/constructor"],
    ["GET", "/assets/a/b"],
    ["DELETE", "/"],
  ];
  for (const [method, path] of strange) expect(routeOf(method, path)).toBeUndefined();
});
