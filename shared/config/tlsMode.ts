import type { RunConfig } from "./schema.ts";

/** Where the coordinator's certificate comes from. */
export type TlsMode =
  /** No TLS: loopback, or a network where the user trusts everybody. */
  | "none"
  /** The user's files (--tls-cert, --tls-key). */
  | "files"
  /** An authority that the run makes for itself; both sides show a certificate of it. */
  | "run";

/** Decides how a coordinator secures its connections. */
export function tlsMode(config: Pick<RunConfig, "insecure" | "listen" | "tlsCert" | "tlsKey">): TlsMode {
  if (config.tlsCert !== undefined && config.tlsKey !== undefined) return "files";
  return isLoopback(config.listen) || config.insecure ? "none" : "run";
}

/** True for addresses of this host alone. */
export function isLoopback(address: string): boolean {
  return address === "localhost" || address === "::1" || address === "[::1]" || /^127(\.\d{1,3}){3}$/.test(address);
}
