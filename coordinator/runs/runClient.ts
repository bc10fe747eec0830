import {
  type ProfileResponse,
  RunService,
  type RunStatus,
  type WatchResponse,
} from "../../shared/gen/coord/v1/run_pb.ts";
import { Connection, type Endpoint } from "../../shared/rpc/client.ts";

/** Looks at a run and steers it. Failures are CoordErrors. */
export interface RunClient {
  getStatus(signal?: AbortSignal): Promise<RunStatus>;
  /** Past events from number `from` (0 for none), then each new one, until the run ends. */
  watch(from: bigint, signal: AbortSignal): AsyncIterable<WatchResponse>;
  stop(now: boolean): Promise<void>;
  /** Asks for a checkpoint; returns the steps committed so far. */
  saveCheckpoint(): Promise<number>;
  set(change: LiveChange): Promise<{ logLevel: string; saveSteps: number }>;
  /** Where the time of the next `steps` steps goes. */
  profile(steps: number, signal: AbortSignal): AsyncIterable<ProfileResponse>;
  close(): void;
}

/** Settings of a run that goes on. */
export interface LiveChange {
  readonly logLevel?: string;
  readonly saveSteps?: number;
}

/** Milliseconds that a coordinator has to answer a question. */
const answerTimeoutMs = 10_000;

export function openRunClient(endpoint: Endpoint): RunClient {
  const connection = new Connection(endpoint);
  const service = connection.service(RunService);
  return {
    async getStatus(signal) {
      const response = await service.getStatus({}, { timeoutMs: answerTimeoutMs, ...(signal ? { signal } : {}) });
      return response.status!;
    },
    watch: (from, signal) => service.watch({ from }, { signal }),
    async stop(now) {
      await service.stop({ now }, { timeoutMs: answerTimeoutMs });
    },
    async saveCheckpoint() {
      return Number((await service.saveCheckpoint({}, { timeoutMs: answerTimeoutMs })).step);
    },
    async set(change) {
      const { logLevel, saveSteps } = await service.set(change, { timeoutMs: answerTimeoutMs });
      return { logLevel, saveSteps };
    },
    profile: (steps, signal) => service.profile({ steps }, { signal }),
    close: () => connection.close(),
  };
}
