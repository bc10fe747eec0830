import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { AdapterConfig } from "../../shared/checkpoint/adapterConfig.ts";
import type { Tensor } from "../../shared/checkpoint/flat.ts";
import { decodeForeignTrainerState, type ForeignTrainerState } from "../../shared/checkpoint/foreignTrainerState.ts";
import { loadAdapter } from "../../shared/checkpoint/loadAdapter.ts";
import { readTextFile } from "../../shared/checkpoint/readRegularFile.ts";
import { checkpointFiles, manifestFile } from "../../shared/checkpoint/types.ts";
import { CoordError } from "../../shared/errors.ts";

/** A log of a long run has tens of megabytes. */
const maxStateBytes = 256 * 1024 * 1024;

/** A `checkpoint-N` of HuggingFace's Trainer with a PEFT adapter. */
export interface ForeignCheckpoint {
  readonly config: AdapterConfig;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly trainer: ForeignTrainerState;
  /** Files that cannot be taken over: a sentence each, without the full stop. */
  readonly leftOut: readonly string[];
}

/** Why each kind of file that a Trainer leaves is not read. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/^optimizer\.(pt|bin)$/, "AdamW's moments start at zero, and its bias correction with them"],
  [/^scheduler\.pt$/, "the learning rate follows --lr-scheduler-type and the step"],
  [
    /^rng_state.*\.pth$/,
    "from here on the order of samples is coord's own, so within the epoch some may come twice or not",
  ],
  [/^scaler\.pt$/, "there is no loss scaling here"],
  [/^training_args\.bin$/, "settings that trainer_state.json has not are those of the flags and defaults"],
];

/** Reads the directory, no pickle of it. Throws ADAPTER_INVALID or CHECKPOINT_INVALID. */
export async function readForeignCheckpoint(directory: string): Promise<ForeignCheckpoint> {
  const names = await readdir(directory).catch((thrown: unknown) => {
    const { code } = thrown as NodeJS.ErrnoException;
    throw new CoordError("CHECKPOINT_INVALID", `The directory ${directory} cannot be read (${code}).`, {
      cause: thrown,
    });
  });
  if (names.includes(manifestFile)) {
    throw new CoordError(
      "CHECKPOINT_INVALID",
      `${directory} is a checkpoint of coord: continue its run with \`coord resume\`, or start a new one from its weights with \`coord launch --init-adapter\`.`,
    );
  }
  const adapter = await loadAdapter(directory);
  if (!names.includes(checkpointFiles.trainerState)) {
    throw new CoordError(
      "CHECKPOINT_INVALID",
      `${directory} has no ${checkpointFiles.trainerState}, so nobody knows its step; start a new run from its weights with \`coord launch --init-adapter ${directory}\`.`,
    );
  }
  const path = join(directory, checkpointFiles.trainerState);
  const trainer = decodeForeignTrainerState(await readTextFile(path, maxStateBytes), path);
  const leftOut = names.sort().flatMap((name) => {
    const reason = reasons.find(([pattern]) => pattern.test(name))?.[1];
    return reason === undefined ? [] : [`${name} is a Python pickle, which can run code when it is read: ${reason}`];
  });
  return { ...adapter, trainer, leftOut };
}
