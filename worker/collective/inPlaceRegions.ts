import { InPlaceRegion } from "../../shared/regions/inPlaceRegion.ts";
import { gradientRegion, meetingRegion, sumRegion } from "../../shared/regions/regionDirectory.ts";
import { Meeting, type MeetingShape, meetingBytes } from "./meeting.ts";

/** Where a round's vectors are in the kernels' memory. */
export interface InPlaceRound {
  /** Addresses by slot. */
  readonly slots: readonly number[];
  readonly sum: number;
  readonly meeting: Meeting;
}

/** The regions of one generation, all of them in the kernels' memory. */
export class InPlaceRegions {
  readonly #slots: InPlaceRegion[] = [];
  readonly #sum = new InPlaceRegion();
  readonly #meeting = new InPlaceRegion();

  constructor(private readonly directory: string) {}

  /** Maps all that a round needs, `wireBytes` for each vector. Throws where there is not enough memory. */
  prepare(generation: bigint, shape: MeetingShape, wireBytes: number): InPlaceRound {
    const slots = Array.from({ length: shape.slots }, (_, slot) => {
      this.#slots[slot] ??= new InPlaceRegion();
      return this.#slots[slot].map(gradientRegion(this.directory, generation, slot), wireBytes);
    });
    const meeting = this.#meeting.map(meetingRegion(this.directory, generation), meetingBytes(shape));
    return {
      slots,
      sum: this.#sum.map(sumRegion(this.directory, generation), wireBytes),
      meeting: new Meeting(meeting, shape),
    };
  }

  /** Lets the memory go. */
  close(): void {
    for (const region of [...this.#slots, this.#sum, this.#meeting]) region.unmap();
  }
}
