import { once } from "node:events";
import { createServer } from "node:net";
import type { HubSettings } from "../hub/hubSettings.ts";
import type { PortRange } from "../ports/portRange.ts";

const hubTimeoutMs = 8000;
/** Ports of a range that are tried: enough for the runs of one host. */
const mostTried = 64;

/** Binds ports of a range one after the other, each for a moment. */
export async function countFreePorts({ from, to }: PortRange): Promise<{ tried: number; free: number }> {
  const tried = Math.min(mostTried, to - from + 1);
  let free = 0;
  for (let port = from; port < from + tried; port++) if (await canBind(port)) free++;
  return { tried, free };
}

async function canBind(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** Asks the hub for the least thing that it answers. */
export async function reachHub({
  endpoint,
  offline,
}: HubSettings): Promise<"offline" | { status: number; tookMs: number } | { reason: string }> {
  if (offline) return "offline";
  const began = performance.now();
  try {
    const { status } = await fetch(`${endpoint}/api/models?limit=1`, {
      method: "HEAD",
      signal: AbortSignal.timeout(hubTimeoutMs),
    });
    return { status, tookMs: performance.now() - began };
  } catch (thrown) {
    const { cause, message, name } = thrown as Error & { cause?: Error };
    const reason = name === "TimeoutError" ? `no answer within ${hubTimeoutMs / 1000} s` : (cause?.message ?? message);
    return { reason };
  }
}
