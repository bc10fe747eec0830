import { Deferred } from "../../shared/deferred.ts";
import { CoordError } from "../../shared/errors.ts";
import { LossSum, type SlotLoss, type TokenLoss } from "./lossSum.ts";

/** What one member brings to a round. */
export interface SharedPart {
  readonly rank: number;
  readonly bytes: number;
  /** Stages that end with a message each; 0 where members meet in their memory. */
  readonly stages: number;
  readonly slots: readonly (SlotLoss & { readonly inputTokens: number })[];
}

/** What a member has done by the end of a stage: digests of blocks, per slot of its own, and of its share of the sum. */
export interface StageReport {
  readonly written: readonly Uint8Array[];
  readonly summed: Uint8Array;
}

/** What all have done, by slot and by rank; or why they go another way. */
export type StageOutcome =
  | { readonly kind: "done"; readonly written: readonly Uint8Array[]; readonly summed: readonly Uint8Array[] }
  | { readonly kind: "declined"; readonly reason: string };

interface Stage {
  readonly reports: Map<number, StageReport>;
  readonly outcome: Deferred<StageOutcome>;
}

/** One all-reduce in memory that its members share: nobody enters a stage before all have left the one before. */
export class SharedRound {
  readonly #parts = new Map<number, SharedPart>();
  readonly #stages = new Map<number, Stage>();
  readonly #losses: LossSum;
  #inputTokens = 0;
  readonly #declined = new Deferred<string>();
  #reason: string | undefined;
  #complete = false;

  constructor(
    private readonly worldSize: number,
    slots: number,
  ) {
    this.#losses = new LossSum(slots);
  }

  /** True when every member has been told, or could be, that the whole sum is there. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Loss and tokens over all slots, once every member is there. */
  get totals(): { readonly loss: TokenLoss; readonly inputTokens: number } | undefined {
    return this.#losses.complete ? { loss: this.#losses.total(), inputTokens: this.#inputTokens } : undefined;
  }

  /** Why all members go another way, as soon as they do. */
  get declined(): Promise<string> {
    return this.#declined.promise;
  }

  /** Counts a member in, once. */
  join(part: SharedPart): void {
    if (this.#parts.has(part.rank)) {
      throw new CoordError("INVALID_REQUEST", `Rank ${part.rank} takes part in the round already.`);
    }
    const [other] = this.#parts.values();
    if (other && other.bytes !== part.bytes) {
      throw new CoordError(
        "DIVERGED",
        `The gradient of rank ${part.rank} has ${part.bytes} bytes, that of rank ${other.rank} ${other.bytes}.`,
      );
    }
    if (other && other.stages !== part.stages) {
      this.decline(`rank ${part.rank} cannot use shared memory as rank ${other.rank} does`);
    }
    this.#parts.set(part.rank, part);
    for (const slot of part.slots) {
      this.#losses.add(slot);
      this.#inputTokens += slot.inputTokens;
    }
  }

  /** Waits until all members have come to the end of a stage. */
  arrive(rank: number, stage: number, report: StageReport): Promise<StageOutcome> {
    if (this.#reason !== undefined) return Promise.resolve({ kind: "declined", reason: this.#reason });
    const current = this.#stages.get(stage) ?? { reports: new Map(), outcome: new Deferred<StageOutcome>() };
    this.#stages.set(stage, current);
    current.reports.set(rank, report);
    if (current.reports.size === this.worldSize) {
      current.outcome.resolve({ kind: "done", ...this.#merge(current.reports) });
      this.#stages.delete(stage);
      this.#complete = stage === this.#parts.get(rank)!.stages - 1;
    }
    return current.outcome.promise;
  }

  /** Sends all members another way. Too late once the sum is there: whoever could not read it must begin anew. */
  decline(reason: string): void {
    if (this.#complete) {
      throw new CoordError("DAMAGED", "The other members have the sum of this round already; the step begins anew.");
    }
    this.#reason ??= reason;
    this.#declined.resolve(this.#reason);
    for (const { outcome } of this.#stages.values()) outcome.resolve({ kind: "declined", reason });
    this.#stages.clear();
  }

  #merge(reports: ReadonlyMap<number, StageReport>) {
    const written: Uint8Array[] = [];
    const summed: Uint8Array[] = [];
    for (let rank = 0; rank < this.worldSize; rank++) {
      const report = reports.get(rank)!;
      summed.push(report.summed);
      for (const [index, { slot }] of this.#parts.get(rank)!.slots.entries()) {
        written[slot] = report.written[index] ?? new Uint8Array();
      }
    }
    return { written, summed };
  }
}
