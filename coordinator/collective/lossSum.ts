import { CoordError } from "../../shared/errors.ts";

/** Sum over label tokens, in nats, and their number. */
export interface TokenLoss {
  readonly sum: number;
  readonly tokens: number;
}

export interface SlotLoss {
  readonly slot: number;
  readonly loss: TokenLoss;
}

/** Adds losses in slot order, whatever order they arrive in. */
export class LossSum {
  readonly #losses = new Map<number, TokenLoss>();

  constructor(readonly slots: number) {}

  get complete(): boolean {
    return this.#losses.size === this.slots;
  }

  add({ slot, loss }: SlotLoss): void {
    if (slot >= this.slots) {
      throw new CoordError("INVALID_REQUEST", `Slot ${slot} does not exist; the run has ${this.slots} slots.`);
    }
    this.#losses.set(slot, loss);
  }

  total(): TokenLoss {
    let sum = 0;
    let tokens = 0;
    for (let slot = 0; slot < this.slots; slot++) {
      const loss = this.#losses.get(slot)!;
      sum += loss.sum;
      tokens += loss.tokens;
    }
    return { sum, tokens };
  }
}
