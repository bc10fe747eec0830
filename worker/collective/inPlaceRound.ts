import { AsyncQueue } from "../../shared/asyncQueue.ts";
import { Deferred } from "../../shared/deferred.ts";
import { CoordError } from "../../shared/errors.ts";
import { CollectiveService } from "../../shared/gen/coord/v1/collective_pb.ts";
import type { Connection } from "../../shared/rpc/client.ts";
import { Declined } from "./dataPlane.ts";
import { InPlaceReduction, type InPlaceReductionOptions } from "./inPlaceReduction.ts";

export interface InPlaceRoundOptions extends Omit<InPlaceReductionOptions, "barrier"> {
  readonly step: number;
  /** Barriers of the round. */
  readonly stages: number;
  readonly losses: readonly {
    readonly slot: number;
    readonly loss: { readonly sum: number; readonly tokens: number };
  }[];
  /** Tells the coordinator who takes part, and with what. */
  readonly header: object;
  readonly control: Connection;
  readonly signal: AbortSignal;
  /** Comes before each barrier, and when all is summed. */
  onPoint(point: "slots-written" | "share-summed"): void;
}

/** How long the others may take to a barrier before the coordinator is asked whether they come at all. */
const patienceMs = 2;

/**
 * Goes through a round whose members meet in the memory that they share. The coordinator hears of it too: it says
 * who takes part, and whether all go another way. `confirmed` resolves when it has heard of every member, without which
 * a step must not be voted for.
 */
export async function reduceInPlace(options: InPlaceRoundOptions) {
  const { control, header, losses, meeting, onPoint, rank, signal, stages, step } = options;
  const requests = new AsyncQueue<object>();
  const call = new AbortController();
  const hangUp = () => call.abort(signal.reason);
  signal.addEventListener("abort", hangUp, { once: true });
  const confirmed = new Deferred<void>();
  const listen = async () => {
    const responses = control.service(CollectiveService).reduce(requests, { signal: call.signal });
    for await (const { declined } of responses) {
      if (declined !== "") throw new Declined(declined);
      confirmed.resolve();
    }
    throw new CoordError("COORDINATOR_UNREACHABLE", "The coordinator left a round unfinished.");
  };
  let complete = false;
  let told = false;
  const tell = () => {
    if (told) return;
    told = true;
    requests.push({ header });
    listen()
      .catch((thrown) => {
        if (!complete) call.abort(thrown);
        const late = complete && thrown instanceof Declined;
        confirmed.reject(late ? new CoordError("DAMAGED", `Not all have the sum of step ${step}.`) : thrown);
      })
      .finally(() => signal.removeEventListener("abort", hangUp));
  };
  const barrier = async (stage: number) => {
    onPoint(stage === 0 ? "slots-written" : "share-summed");
    const point = pointOf(step, stage);
    meeting.arrive(rank, point);
    // A call takes longer than a short round: it is begun behind one that goes well.
    const patience = setTimeout(tell, patienceMs);
    await meeting.all(point, call.signal).finally(() => clearTimeout(patience));
    complete = stage === stages - 1;
  };
  try {
    for (const { loss, slot } of losses) meeting.tellLoss(slot, loss);
    await new InPlaceReduction({ ...options, barrier }).run();
    if (stages === 1) onPoint("share-summed");
  } catch (cause) {
    signal.removeEventListener("abort", hangUp);
    call.abort(new CoordError("STALE_GENERATION", "This worker has left the round."));
    // The others have the sum already and vote: only a new generation can bring them back to this step.
    if (complete) throw new CoordError("DAMAGED", `The sum of step ${step} could not be read.`, { cause });
    throw cause;
  }
  setImmediate(() => {
    tell();
    requests.end();
  });
  return { loss: meeting.totalLoss(), confirmed: confirmed.promise };
}

/** Points of a run, in order, as 32-bit numbers that begin again after the last. */
function pointOf(step: number, stage: number): number {
  return (2 * step + stage) | 0;
}
