import type { TokenFile } from "../../shared/dataset/tokenFile.ts";
import { CoordError } from "../../shared/errors.ts";
import { type DataService, type GetSamplesRequest, Split } from "../../shared/gen/coord/v1/data_pb.ts";
import type { Handlers } from "../../shared/rpc/server.ts";
import type { TrainingSession } from "../membership/trainingSession.ts";

/** Samples that one request may ask for. */
const maxIndices = 4096;

/** Hands out samples of `file` to the members of the run. */
export function dataHandlers(session: () => TrainingSession, file: () => TokenFile): Handlers<typeof DataService> {
  return {
    async *getSamples(request: GetSamplesRequest) {
      session().requireMember(request.member!);
      const split = splitName(request.split);
      const size = split === "train" ? file().trainSize : file().evaluationSize;
      if (request.indices.length > maxIndices) {
        throw new CoordError(
          "LIMIT_EXCEEDED",
          `${request.indices.length} samples were asked for at once; at most ${maxIndices} are allowed.`,
        );
      }
      for (const index of request.indices) {
        if (index >= BigInt(size)) {
          throw new CoordError("INVALID_REQUEST", `Sample ${index} does not exist; the ${split} set has ${size}.`);
        }
        const { inputIds, labelMask } = await file().sample(split, Number(index));
        const bytes = new Uint8Array(inputIds.buffer, inputIds.byteOffset, inputIds.byteLength);
        yield { index, inputIds: bytes, labelMask };
      }
    },
  };
}

function splitName(split: Split): "train" | "evaluation" {
  if (split === Split.TRAIN) return "train";
  if (split === Split.EVALUATION) return "evaluation";
  throw new CoordError("INVALID_REQUEST", "A request for samples must name the split.");
}
