import type { CheckpointStore, PassedOver } from "../../shared/checkpoint/store.ts";
import { toCoordError } from "../../shared/errors.ts";

/**
 * Moves the damaged checkpoints that were passed over out of the way, so that the run does not meet them again, and
 * returns a sentence for each: which, where it is now, and why. Where they cannot be moved they stay, and that is said.
 */
export async function movePassedOver(store: CheckpointStore, passedOver: readonly PassedOver[]): Promise<string> {
  const sentences: string[] = [];
  for (const { name, reason } of passedOver) {
    const where = await store.putAside([name]).then(
      ([moved]) => `moved aside to ${moved!.path}`,
      (thrown: unknown) => `left where it is (${toCoordError(thrown).message})`,
    );
    sentences.push(` Passed over ${name}, ${where}: ${reason}`);
  }
  return sentences.join("");
}
