import type { HistoryChange } from "../history.ts";
import type { FeedMessage } from "../runFeed.ts";

export type { HistoryChange, Mark, StepRow } from "../history.ts";
export type { FeedMessage, ShownEvent } from "../runFeed.ts";
export type Status = FeedMessage["status"];
export type Worker = Status["workers"][number];

export interface RunEntry {
  readonly run: string;
  readonly state: string;
  readonly createdAtMs: number;
  readonly output: string;
}

export interface RunSummary {
  readonly status: Status;
  readonly config: Readonly<Record<string, unknown>>;
  readonly createdAtMs: number;
  readonly tokenFile: string;
}

export interface LogLine {
  readonly source: string;
  readonly timeMs: number;
  readonly text: string;
}

/** Refused for want of the run's token. */
export class Unauthorized extends Error {}

/** Lives as long as the tab. */
const tokenKey = "coord-token";

export const token = {
  get: () => sessionStorage.getItem(tokenKey) ?? "",
  set: (value: string) => sessionStorage.setItem(tokenKey, value.trim()),
};

export const api = {
  runs: () => get<{ current: string; runs: RunEntry[] }>("/api/runs"),
  summary: (run: string) => get<RunSummary>(`/api/runs/${run}`),
  history: (run: string) => get<HistoryChange>(`/api/runs/${run}/history`),
  logs: (run: string, of: string) => get<LogLine[]>(`/api/runs/${run}/logs?rank=${encodeURIComponent(of)}`),
  async steer(run: string, wish: "stop" | "checkpoint" | "set", body: object): Promise<void> {
    const response = await fetch(`/api/runs/${run}/${wish}`, {
      method: "POST",
      headers: headers(),
      body: JSON.stringify(body),
    });
    await checked(response);
  },
};

/**
 * Follows a run's stream until aborted; a stream that is cut is opened again. fetch, not EventSource, because that
 * cannot send the token.
 */
export async function follow(
  run: string,
  signal: AbortSignal,
  on: { message(message: FeedMessage): void; cut(why: Error): void },
): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      const response = await checked(await fetch(`/api/runs/${run}/stream`, { headers: headers(), signal }));
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ; ) {
        const { done, value } = await reader.read();
        if (done) throw new Error("The stream has ended.");
        failures = 0;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) {
          if (block.startsWith("data: ")) on.message(JSON.parse(block.slice(6)) as FeedMessage);
        }
      }
    } catch (thrown) {
      if (signal.aborted) return;
      on.cut(thrown instanceof Error ? thrown : new Error(String(thrown)));
      if (thrown instanceof Unauthorized) return;
      await new Promise((resolve) => setTimeout(resolve, Math.min(10_000, 500 * 2 ** Math.min(failures, 5))));
    }
  }
}

async function get<T>(path: string): Promise<T> {
  return (await checked(await fetch(path, { headers: headers() }))).json() as Promise<T>;
}

function headers(): Record<string, string> {
  return token.get() === "" ? {} : { Authorization: `Bearer ${token.get()}` };
}

async function checked(response: Response): Promise<Response> {
  if (response.ok) return response;
  const body = (await response.json().catch(() => ({}))) as { message?: string };
  const message = body.message ?? `The server answered ${response.status}.`;
  throw response.status === 401 ? new Unauthorized(message) : new Error(message);
}
