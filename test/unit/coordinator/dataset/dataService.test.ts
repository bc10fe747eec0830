import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { dataHandlers, type ServedData } from "../../../../coordinator/dataset/dataService.ts";
import type { TrainingSession } from "../../../../coordinator/membership/trainingSession.ts";
import { GetSamplesRequestSchema, Split } from "../../../../shared/gen/coord/v1/data_pb.ts";
import type { CallContext } from "../../../../shared/rpc/server.ts";

it("a request for more samples than are allowed at once is refused before any is read", async () => {
  const session = { requireMember: () => undefined } as unknown as TrainingSession;
  const data = { rows: { size: 10 }, tokens: { trainSize: 10, evaluationSize: 0 } } as unknown as ServedData;
  const request = create(GetSamplesRequestSchema, {
    ...{ member: { runId: "r", workerId: "0/0", incarnation: "i" }, split: Split.TRAIN },
    samples: new Array(10_000_000).fill(0n) as bigint[],
  });
  const samples = dataHandlers(() => session, data).getSamples(request, {} as CallContext);
  const reading = samples[Symbol.asyncIterator]().next();
  await expect(reading).rejects.toMatchObject({ code: "LIMIT_EXCEEDED" });
});
