import { loadAdapter } from "../shared/checkpoint/loadAdapter.ts";
import type { Checkpoint, CheckpointStore } from "../shared/checkpoint/store.ts";
import { initialTrainerState } from "../shared/checkpoint/trainerState.ts";
import type { RunConfig } from "../shared/config/schema.ts";
import { CoordError } from "../shared/errors.ts";
import { layOut } from "../shared/tensors/layout.ts";
import type { StartingPoint } from "./training.ts";

/** Where a run starts, and a sentence for the log that says why there. */
export interface Start extends StartingPoint {
  readonly reason: string;
}

/**
 * The checkpoint named by `from`, the newest valid one, an adapter's weights, or the seed: the first of these that is
 * asked for or there. A directory with checkpoints of which none is valid is an error, never a silent start at 0.
 */
export async function findStart(
  config: RunConfig,
  store: CheckpointStore,
  from: string | undefined,
  expected: { readonly dataset: string; readonly maxSteps: number },
): Promise<Start> {
  if (from !== undefined) {
    return atCheckpoint(await store.load(from), expected, "It was asked for.");
  }
  const newest = await store.newestValid();
  if (newest) {
    const passedOver = newest.passedOver.map(({ name, reason }) => ` Passed over ${name}: ${reason}`).join("");
    return atCheckpoint(newest.checkpoint, expected, `It is the newest valid one.${passedOver}`);
  }
  const trainerState = initialTrainerState(config, expected.maxSteps);
  if (config.initAdapter === undefined) {
    return {
      step: 0,
      trainerState,
      reason: `Training starts from the base model with seed ${config.seed}.`,
    };
  }
  const { tensors } = await loadAdapter(config.initAdapter);
  const layout = layOut([...tensors].map(([name, { shape }]) => ({ name, shape })));
  const parameters = new Float32Array(layout.elements);
  for (const { name, offset } of layout.tensors) parameters.set(tensors.get(name)!.data, offset);
  const zeros = () => new Float32Array(layout.elements);
  return {
    step: 0,
    trainerState,
    state: { step: 0, layout, parameters, firstMoment: zeros(), secondMoment: zeros() },
    reason: `Training starts from the adapter in ${config.initAdapter}.`,
  };
}

function atCheckpoint(
  checkpoint: Checkpoint,
  expected: { readonly dataset: string; readonly maxSteps: number },
  why: string,
): Start {
  const dataset = checkpoint.fingerprints["dataset"];
  if (dataset !== expected.dataset) {
    throw new CoordError(
      "CHECKPOINT_INVALID",
      `${checkpoint.path} belongs to another data set than the one given now; resume with the same --data and tokenizer, or start a new run with --init-adapter ${checkpoint.path}.`,
    );
  }
  const { state } = checkpoint;
  return {
    step: state.step,
    state,
    trainerState: { ...checkpoint.trainerState, max_steps: expected.maxSteps },
    reason: `Continuing from ${checkpoint.name} (step ${state.step}). ${why}`,
  };
}
