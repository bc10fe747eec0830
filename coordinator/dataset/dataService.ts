import type { EpochOrder } from "../../shared/dataset/epochOrder.ts";
import type { TokenFile, TokenSample, TokenSplit } from "../../shared/dataset/tokenFile.ts";
import type { TrainingRows } from "../../shared/dataset/trainingRows.ts";
import { CoordError } from "../../shared/errors.ts";
import { type DataService, type GetSamplesRequest, Split } from "../../shared/gen/coord/v1/data_pb.ts";
import type { Handlers } from "../../shared/rpc/server.ts";
import type { TrainingSession } from "../membership/trainingSession.ts";

/** Rows that one request may ask for. */
const maxIndices = 4096;

/** What is handed out. */
export interface ServedData {
  readonly tokens: TokenFile;
  readonly rows: TrainingRows;
  /** The order in which an epoch reads its rows. */
  orderOf(epoch: number): EpochOrder;
}

/** Hands out samples to the members of the run. */
export function dataHandlers(session: () => TrainingSession, data: ServedData): Handlers<typeof DataService> {
  const { orderOf, rows, tokens } = data;
  return {
    async *getSamples(request: GetSamplesRequest) {
      session().requireMember(request.member!);
      const split = splitName(request.split);
      const size = split === "train" ? rows.size : tokens.evaluationSize;
      if (request.indices.length > maxIndices) {
        throw new CoordError(
          "LIMIT_EXCEEDED",
          `${request.indices.length} samples were asked for at once; at most ${maxIndices} are allowed.`,
        );
      }
      const order = split === "train" ? orderOf(request.epoch) : undefined;
      for (const index of request.indices) {
        if (index >= BigInt(size)) {
          throw new CoordError("INVALID_REQUEST", `Sample ${index} does not exist; the ${split} set has ${size}.`);
        }
        const numbers = order ? rows.samplesOf(order(Number(index))) : [Number(index)];
        const parts: TokenSample[] = [];
        for (const number of numbers) parts.push(await tokens.sample(split, number));
        yield { index, ...join(parts) };
      }
    },
  };
}

function join(parts: readonly TokenSample[]) {
  const bytes = parts.map(({ inputIds }) => new Uint8Array(inputIds.buffer, inputIds.byteOffset, inputIds.byteLength));
  if (parts.length === 1) return { inputIds: bytes[0]!, labelMask: parts[0]!.labelMask, lengths: [] };
  return {
    inputIds: Buffer.concat(bytes),
    labelMask: Buffer.concat(parts.map(({ labelMask }) => labelMask)),
    lengths: parts.map(({ inputIds }) => inputIds.length),
  };
}

function splitName(split: Split): TokenSplit {
  if (split === Split.TRAIN) return "train";
  if (split === Split.EVALUATION) return "evaluation";
  throw new CoordError("INVALID_REQUEST", "A request for samples must name the split.");
}
