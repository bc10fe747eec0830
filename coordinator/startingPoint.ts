import { loadAdapter } from "../shared/checkpoint/loadAdapter.ts";
import type { Checkpoint, CheckpointStore } from "../shared/checkpoint/store.ts";
import { initialTrainerState } from "../shared/checkpoint/trainerState.ts";
import type { RunConfig } from "../shared/config/schema.ts";
import { CoordError } from "../shared/errors.ts";
import { layOut } from "../shared/tensors/layout.ts";
import { differences, type Fingerprints } from "./checkpoint/fingerprints.ts";
import { movePassedOver } from "./checkpoint/movePassedOver.ts";
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
  expected: Expected,
): Promise<Start> {
  const start = await chooseStart(config, store, from, expected);
  if (start.step >= config.adamStartStep) return start;
  throw new CoordError(
    "CONFIG_INVALID",
    `--adam-start-step ${config.adamStartStep} lies behind step ${start.step}, where training starts; leave it to coord import.`,
  );
}

/** What a checkpoint must agree with. */
interface Expected {
  readonly runId: string;
  /** Data set, base model, and what else may decide about bits. */
  readonly fingerprints: Fingerprints;
  readonly maxSteps: number;
}

async function chooseStart(
  config: RunConfig,
  store: CheckpointStore,
  from: string | undefined,
  expected: Expected,
): Promise<Start> {
  if (from !== undefined) {
    return atCheckpoint(await store.load(from), expected, "It was asked for.");
  }
  const newest = await store.newestValid();
  if (newest) {
    const start = atCheckpoint(newest.checkpoint, expected, "It is the newest valid one.");
    return { ...start, reason: start.reason + (await movePassedOver(store, newest.passedOver)) };
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

/** Throws OUTPUT_IN_USE for a checkpoint of another run: continuing it would mix two runs in one directory. */
export function expectOwn(checkpoint: Checkpoint, runId: string): void {
  if (checkpoint.runId === runId) return;
  throw new CoordError(
    "OUTPUT_IN_USE",
    `${checkpoint.path} is of run ${checkpoint.runId}, not of run ${runId}; move it away, or start a new run from its weights with \`coord launch --init-adapter ${checkpoint.path}\`.`,
  );
}

function atCheckpoint(checkpoint: Checkpoint, expected: Expected, why: string): Start {
  expectOwn(checkpoint, expected.runId);
  const { dataset, model } = checkpoint.fingerprints;
  if (dataset !== expected.fingerprints["dataset"]) {
    throw new CoordError(
      "CHECKPOINT_INVALID",
      `${checkpoint.path} belongs to another data set than the one given now; resume with the same --data, tokenizer and options of the data set, or start a new run with --init-adapter ${checkpoint.path}.`,
    );
  }
  // Checkpoints of the first releases do not know it.
  if (model !== undefined && model !== expected.fingerprints["model"]) {
    throw new CoordError(
      "CHECKPOINT_INVALID",
      `${checkpoint.path} was trained on other base weights than those of --model now; put the model back, or start a new run from its weights with --init-adapter ${checkpoint.path}.`,
    );
  }
  const { state } = checkpoint;
  const changed = differences(checkpoint.fingerprints, expected.fingerprints).join("; ");
  const caution = changed === "" ? "" : ` The bits of the result may differ from then: ${changed}.`;
  return {
    step: state.step,
    state,
    trainerState: { ...checkpoint.trainerState, max_steps: expected.maxSteps },
    reason: `Continuing from ${checkpoint.name} (step ${state.step}). ${why}${caution}`,
  };
}
