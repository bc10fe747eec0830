import { contains, type PortRange } from "./portRange.ts";

/** What the user asked for: one port, any of a range, or any at all. */
export type PortRequest =
  | { readonly kind: "fixed"; readonly port: number }
  | { readonly kind: "range"; readonly range: PortRange }
  | { readonly kind: "any" };

/** What to do next about a port. */
export type PortStep =
  /** Try this one. */
  | { readonly kind: "try"; readonly port: number; readonly leased: boolean; readonly reason: string }
  /** Nothing is left to try. */
  | { readonly kind: "give up"; readonly reason: string };

/** What the settings ask for: one port outranks a range. */
export function portRequest(settings: { port?: number | undefined; portRange?: PortRange | undefined }): PortRequest {
  if (settings.port) return { kind: "fixed", port: settings.port };
  return settings.portRange ? { kind: "range", range: settings.portRange } : { kind: "any" };
}

/**
 * Decides which port to try next. `tried` are those that were found leased or bound by others; `suggested` is a port
 * that looked free a moment ago, undefined when none did.
 */
export function decidePort(request: PortRequest, tried: ReadonlySet<number>, suggested: number | undefined): PortStep {
  switch (request.kind) {
    case "any":
      if (tried.has(0)) return { kind: "give up", reason: "the system has no free port" };
      return { kind: "try", port: 0, leased: false, reason: "the system picks a free port and binds it in one go" };
    case "fixed":
      if (tried.has(request.port)) return { kind: "give up", reason: "the port asked for is taken" };
      return { kind: "try", port: request.port, leased: true, reason: "it is the port asked for" };
    case "range": {
      const { range } = request;
      if (suggested !== undefined && contains(range, suggested) && !tried.has(suggested)) {
        return { kind: "try", port: suggested, leased: true, reason: "it looked free a moment ago" };
      }
      // The bind is the only judge, so even ports that did not look free get their try before we give up.
      for (let port = range.from; port <= range.to; port++) {
        if (!tried.has(port)) return { kind: "try", port, leased: true, reason: "it has not been tried yet" };
      }
      return { kind: "give up", reason: "every port of the range is taken" };
    }
  }
}
