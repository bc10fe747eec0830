import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { RunState, type WatchResponse, WatchResponseSchema } from "../../../../shared/gen/coord/v1/run_pb.ts";

/** Local time, so that rendered clocks read the same in every time zone. */
export const startMs = new Date(2026, 10, 20, 21, 54, 3).getTime();

export const runId = "20261120-2154-k3f9";

type Init = MessageInitShape<typeof WatchResponseSchema>;
type EventInit = { kind: string; message?: string; data?: object; sequence?: bigint; timeMs?: number };

/** One message of a watch stream: a training run of 16 workers, changed as a test needs it. */
export function response(event: EventInit | undefined, status: Record<string, unknown> = {}): WatchResponse {
  const init = {
    status: {
      runId,
      state: RunState.TRAINING,
      step: 10n,
      maxSteps: 500n,
      generation: 2n,
      output: "/data/output",
      worldSize: 16,
      workers: Array.from({ length: 16 }, (_, rank) => ({ rank, state: "computing", pid: 100 + rank })),
      ...status,
    },
    ...(event === undefined
      ? {}
      : {
          event: {
            sequence: event.sequence ?? 1n,
            timeMs: BigInt(event.timeMs ?? startMs),
            kind: event.kind,
            message: event.message ?? "",
            dataJson: JSON.stringify(event.data ?? {}),
          },
        }),
  };
  return create(WatchResponseSchema, init as Init);
}
