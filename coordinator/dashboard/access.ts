import { isLoopback } from "../../shared/config/tlsMode.ts";

/**
 * The host name of a Host header, without its port; undefined for one that is malformed. A page of another site whose
 * name was made to resolve to this host (DNS rebinding) sends that name: it is not among ours.
 */
export function hostName(header: string | undefined): string | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?$/i.exec(header ?? "");
  return match?.[1]?.toLowerCase().replace(/^\[|\]$/g, "");
}

/** Names under which a dashboard that listens on `address` may be asked for. */
export function allowedNames(address: string, ownNames: readonly string[]): ReadonlySet<string> {
  const own = isLoopback(address) ? [] : [address, ...ownNames];
  return new Set(["localhost", "127.0.0.1", "::1", ...own].map((name) => name.toLowerCase()));
}

/** The token of an Authorization header; empty when there is none. */
export function bearerToken(header: string | undefined): string {
  return /^Bearer ([\w.~+/=-]{1,512})$/.exec(header ?? "")?.[1] ?? "";
}

/** What a request asks for. */
export type Route =
  | { readonly kind: "page" }
  | { readonly kind: "asset"; readonly name: string }
  | { readonly kind: "metrics" }
  | { readonly kind: "runs" }
  | { readonly kind: "run"; readonly runId: string; readonly what: "summary" | "stream" | "history" | "logs" }
  | { readonly kind: "steer"; readonly runId: string; readonly wish: "stop" | "checkpoint" | "set" };

const reads = { "": "summary", "/stream": "stream", "/history": "history", "/logs": "logs" } as const;
const wishes = { "/stop": "stop", "/checkpoint": "checkpoint", "/set": "set" } as const;

/** Reads method and path; undefined for anything that is not served. */
export function routeOf(method: string | undefined, path: string): Route | undefined {
  const reading = method === "GET" || method === "HEAD";
  if (reading && (path === "/" || path === "/index.html")) return { kind: "page" };
  if (reading && path === "/metrics") return { kind: "metrics" };
  if (reading && path === "/api/runs") return { kind: "runs" };
  const asset = /^\/assets\/([\w.-]{1,100})$/.exec(path)?.[1];
  if (reading && asset !== undefined) return { kind: "asset", name: asset };
  const run = /^\/api\/runs\/([a-z0-9-]{1,64})(\/[a-z]+)?$/.exec(path);
  if (run === null) return undefined;
  const [runId, rest] = [run[1]!, run[2] ?? ""];
  if (reading && Object.hasOwn(reads, rest)) return { kind: "run", runId, what: reads[rest as keyof typeof reads] };
  if (method === "POST" && Object.hasOwn(wishes, rest)) {
    return { kind: "steer", runId, wish: wishes[rest as keyof typeof wishes] };
  }
  return undefined;
}
