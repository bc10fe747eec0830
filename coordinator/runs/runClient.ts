import { RunService, type RunStatus, type WatchResponse } from "../../shared/gen/coord/v1/run_pb.ts";
import { Connection, type Endpoint } from "../../shared/rpc/client.ts";

/** Looks at a run and steers it. Failures are CoordErrors. */
export interface RunClient {
  getStatus(signal?: AbortSignal): Promise<RunStatus>;
  /** Past events from number `from` (0 for none), then each new one, until the run ends. */
  watch(from: bigint, signal: AbortSignal): AsyncIterable<WatchResponse>;
  stop(now: boolean): Promise<void>;
  close(): void;
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
    close: () => connection.close(),
  };
}
