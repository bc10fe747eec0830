import type { Manifest } from "./manifest.ts";
import type { CheckpointContents } from "./types.ts";

/** A checkpoint as a listing shows it: its manifest has been read, its files have not been verified. */
export type CheckpointEntry = {
  /** `checkpoint-N`. */
  readonly name: string;
  /** Directory, or s3:// URL of what a directory is there. */
  readonly path: string;
  /** N. */
  readonly step: number;
} & (
  | { readonly state: "readable"; readonly manifest: Manifest; readonly savedAtMs: number }
  /** `newerFormat`: nothing is wrong with it, only this coord is too old. */
  | { readonly state: "unreadable"; readonly reason: string; readonly newerFormat: boolean }
);

/** A checkpoint whose every file has the size and SHA-256 that its manifest says. */
export interface Checkpoint extends CheckpointContents {
  readonly name: string;
  readonly path: string;
}

/** Keeps checkpoints of one run. Once `save` has returned, the checkpoint survives crashes and loss of power. */
export interface CheckpointStore {
  /** Directory, or s3:// URL. */
  readonly location: string;
  /**
   * Saves `checkpoint-<step>` all or nothing, then removes old ones. The arrays must not change meanwhile.
   * `extraFiles` are absolute paths of tokenizer files to copy. Throws STORAGE_FAILED, OUTPUT_IN_USE,
   * STALE_GENERATION or DIVERGED, leaving all earlier checkpoints as they were.
   */
  save(contents: CheckpointContents, extraFiles?: readonly string[]): Promise<{ name: string; path: string }>;
  /** Newest first; those whose manifest cannot be read last. */
  list(): Promise<CheckpointEntry[]>;
  /** Checks size and SHA-256 of every file of one. Throws CHECKPOINT_INVALID. */
  verify(name: string): Promise<Manifest>;
  /** Verifies and reads one. Throws CHECKPOINT_INVALID. */
  load(name: string): Promise<Checkpoint>;
  /**
   * The newest that verifies, and why newer ones were passed over; undefined when there is none at all. Throws
   * CHECKPOINT_INVALID with all reasons when there are some but none verifies: a run never silently starts again. One
   * of a newer format is refused, not passed over: what is newest cannot be told without it.
   */
  newestValid(): Promise<{ checkpoint: Checkpoint; passedOver: PassedOver[] } | undefined>;
  /**
   * Moves damaged checkpoints out of the listings, for a person to look at, and removes nothing. Returns where each is
   * now. Only for the one writer. Throws STORAGE_FAILED.
   */
  putAside(names: readonly string[]): Promise<{ readonly name: string; readonly path: string }[]>;
  /** Removes checkpoints; each is out of every listing before any of its files goes. Returns the names that are gone. */
  remove(names: readonly string[]): Promise<string[]>;
  /**
   * Hands `use` a directory with the files of one, or of those only that are named, as they are: not verified. It may be
   * a private copy that is gone afterwards. Throws CHECKPOINT_INVALID.
   */
  withFiles<Result>(
    name: string,
    use: (directory: string) => Promise<Result>,
    only?: readonly string[],
  ): Promise<Result>;
}

/** What both kinds of store want to know. */
export interface StoreOptions {
  /** Checkpoints to keep; 0, the default, for all. */
  readonly saveTotalLimit?: number;
  /** Checkpoints at multiples of this many steps are kept beyond the limit; 0, the default, for none. */
  readonly saveMilestoneSteps?: number;
  /** Told, in one sentence, what went wrong without harm: an old checkpoint that could not be removed. */
  readonly onWarning?: (message: string) => void;
}

/** A checkpoint that was not taken. */
export interface PassedOver {
  readonly name: string;
  readonly reason: string;
}
