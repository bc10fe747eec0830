import type { Manifest } from "./manifest.ts";
import type { CheckpointContents } from "./types.ts";

/** A checkpoint as a directory listing shows it: its manifest has been read, its files have not been verified. */
export type CheckpointEntry = {
  /** `checkpoint-N`. */
  readonly name: string;
  readonly path: string;
  /** N. */
  readonly step: number;
} & (
  | { readonly state: "readable"; readonly manifest: Manifest }
  | { readonly state: "unreadable"; readonly reason: string }
);

/** A checkpoint whose every file has the size and SHA-256 that its manifest says. */
export interface Checkpoint extends CheckpointContents {
  readonly name: string;
  readonly path: string;
}

/** Keeps checkpoints of one run. Once `save` has returned, the checkpoint survives crashes and loss of power. */
export interface CheckpointStore {
  /**
   * Saves `checkpoint-<step>` all or nothing, then removes old ones. The arrays must not change meanwhile.
   * `extraFiles` are absolute paths of tokenizer files to copy. Throws STORAGE_FAILED, OUTPUT_IN_USE,
   * STALE_GENERATION or DIVERGED, leaving all earlier checkpoints as they were.
   */
  save(contents: CheckpointContents, extraFiles?: readonly string[]): Promise<{ name: string; path: string }>;
  /** Newest first; those whose manifest cannot be read last. */
  list(): Promise<CheckpointEntry[]>;
  /** Verifies and reads one. Throws CHECKPOINT_INVALID. */
  load(name: string): Promise<Checkpoint>;
  /**
   * The newest that verifies, and why newer ones were passed over; undefined when there is none at all. Throws
   * CHECKPOINT_INVALID with all reasons when there are some but none verifies: a run never silently starts again.
   */
  newestValid(): Promise<{ checkpoint: Checkpoint; passedOver: PassedOver[] } | undefined>;
}

/** A checkpoint that was not taken. */
export interface PassedOver {
  readonly name: string;
  readonly reason: string;
}
