import { Deferred } from "../../shared/deferred.ts";
import { CoordError } from "../../shared/errors.ts";
import { settle, toWire, type WireFormat } from "../../shared/kernels/wireFormat.ts";
import { digest64 } from "../../shared/tensors/digest.ts";
import { GradientSum } from "../../shared/tensors/reduce.ts";
import { LossSum, type SlotLoss, type TokenLoss } from "./lossSum.ts";

/** The outcome of a round. */
export interface RoundResult {
  /** The sum as it goes over the wire. */
  readonly bytes: Uint8Array;
  readonly digest: bigint;
  readonly loss: TokenLoss;
  readonly inputTokens: number;
}

/** What one slot adds to a round. */
export interface Contribution extends SlotLoss {
  readonly digest: bigint;
  readonly gradient: Float32Array;
  readonly inputTokens: number;
}

/** One all-reduce: gradients of all slots, summed in slot order within fixed groups, then in group order. */
export class Round {
  #sum: GradientSum | undefined;
  readonly #losses: LossSum;
  readonly #digests = new Map<number, bigint>();
  readonly #result = new Deferred<RoundResult>();
  #inputTokens = 0;

  constructor(
    private readonly slots: number,
    private readonly groupSize: number,
    private readonly release: (gradient: Float32Array) => void = () => {},
    private readonly format: WireFormat = "float32",
  ) {
    this.#losses = new LossSum(slots);
  }

  /** Loss and tokens over all slots, once they are complete. */
  totals: { readonly loss: TokenLoss; readonly inputTokens: number } | undefined;

  get result(): Promise<RoundResult> {
    return this.#result.promise;
  }

  /** Lets the sum go, once every member has it. */
  discard(): void {
    if (this.#sum?.complete) this.release(this.#sum.result());
    this.#sum = undefined;
  }

  /** Counts a slot once: a repeat with the same digest changes nothing, with another it is an error. */
  add(contribution: Contribution): void {
    const { slot, digest, gradient } = contribution;
    const known = this.#digests.get(slot);
    if (known === digest) return;
    if (known !== undefined) {
      throw new CoordError("DIVERGED", `Slot ${slot} was contributed twice, with different gradients.`);
    }
    // The first contribution says how long the gradient is; the others must agree.
    this.#sum ??= new GradientSum({
      slots: this.slots,
      groupSize: this.groupSize,
      elements: gradient.length,
      release: this.release,
    });
    const { elements } = this.#sum;
    if (gradient.length !== elements) {
      throw new CoordError(
        "DIVERGED",
        `The gradient of slot ${slot} has ${gradient.length} elements, the others have ${elements}.`,
      );
    }
    this.#digests.set(slot, digest);
    this.#losses.add(contribution);
    this.#inputTokens += contribution.inputTokens;
    this.#sum.add(slot, gradient);
    if (!this.#sum.complete) return;
    const bytes = toWire(this.format, settle(this.#sum.result()));
    this.totals = { loss: this.#losses.total(), inputTokens: this.#inputTokens };
    this.#result.resolve({ bytes, digest: digest64(bytes), ...this.totals });
  }
}
