import type { EpochOrder } from "../../shared/dataset/epochOrder.ts";
import type { TokenFile, TokenSplit } from "../../shared/dataset/tokenFile.ts";
import type { TrainingRows } from "../../shared/dataset/trainingRows.ts";
import { CoordError } from "../../shared/errors.ts";
import { type DataService, Split } from "../../shared/gen/coord/v1/data_pb.ts";
import type { Handlers } from "../../shared/rpc/server.ts";
import type { TrainingSession } from "../membership/trainingSession.ts";

/** Rows or samples that one request may ask for. */
const maxAtOnce = 4096;

/** What is handed out. */
export interface ServedData {
  readonly tokens: TokenFile;
  readonly rows: TrainingRows;
  /** The order in which an epoch reads its rows. */
  orderOf(epoch: number): EpochOrder;
}

/** Tells members of the run which samples they need, and hands out those that they have not got. */
export function dataHandlers(session: () => TrainingSession, data: ServedData): Handlers<typeof DataService> {
  const { orderOf, rows, tokens } = data;
  return {
    async locateRows({ epoch, member, places, split }) {
      session().requireMember(member!);
      const name = splitName(split);
      checkNumbers(places, name === "train" ? rows.size : tokens.evaluationSize, `rows`, name);
      const order = name === "train" ? orderOf(epoch) : undefined;
      const located = places.map((place) => ({
        samples: order ? Array.from(rows.samplesOf(order(Number(place))), BigInt) : [place],
      }));
      return { contentKey: tokens.contentKey, path: tokens.path, rows: located };
    },

    async *getSamples({ member, samples, split }) {
      session().requireMember(member!);
      const name = splitName(split);
      checkNumbers(samples, name === "train" ? tokens.trainSize : tokens.evaluationSize, "samples", name);
      for (const sample of samples) {
        const { inputIds, labelMask } = await tokens.sample(name, Number(sample));
        const bytes = new Uint8Array(inputIds.buffer, inputIds.byteOffset, inputIds.byteLength);
        yield { sample, inputIds: bytes, labelMask };
      }
    },
  };
}

/** Throws LIMIT_EXCEEDED for too many numbers and INVALID_REQUEST for one that does not exist. */
function checkNumbers(numbers: readonly bigint[], size: number, what: string, split: TokenSplit): void {
  if (numbers.length > maxAtOnce) {
    throw new CoordError(
      "LIMIT_EXCEEDED",
      `${numbers.length} ${what} were asked for at once; at most ${maxAtOnce} are allowed.`,
    );
  }
  const beyond = numbers.find((number) => number >= BigInt(size));
  if (beyond !== undefined) {
    throw new CoordError("INVALID_REQUEST", `There is no number ${beyond}; the ${split} set has ${size} ${what}.`);
  }
}

function splitName(split: Split): TokenSplit {
  if (split === Split.TRAIN) return "train";
  if (split === Split.EVALUATION) return "evaluation";
  throw new CoordError("INVALID_REQUEST", "A request for samples must name the split.");
}
