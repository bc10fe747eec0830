import { basename } from "node:path";
import { CoordError } from "../errors.ts";
import { type CommitDecision, decideCommit, type Occupant } from "./commitRule.ts";
import type { Manifest } from "./manifest.ts";
import { newestFirst } from "./order.ts";
import { chooseRemovals } from "./retention.ts";
import type { Checkpoint, CheckpointEntry, CheckpointStore, PassedOver, StoreOptions } from "./store.ts";
import type { CheckpointContents } from "./types.ts";
import { hasSameState } from "./writeCheckpoint.ts";

export type ReadableEntry = Extract<CheckpointEntry, { state: "readable" }>;

/** N of `checkpoint-N`; undefined for any other name. */
export function stepOf(name: string): number | undefined {
  const digits = /^checkpoint-(0|[1-9]\d{0,15})$/.exec(name)?.[1];
  const step = Number(digits);
  return digits !== undefined && Number.isSafeInteger(step) ? step : undefined;
}

/** Newest first; those whose manifest cannot be read last, by step. */
export function sortEntries(entries: CheckpointEntry[]): CheckpointEntry[] {
  return entries.sort((a, b) => {
    if (a.state === "readable" && b.state === "readable") return newestFirst(a.manifest, b.manifest);
    if (a.state === b.state) return b.step - a.step;
    return a.state === "readable" ? -1 : 1;
  });
}

/** The entry of that name. Throws CHECKPOINT_INVALID naming those that are there. */
export function entryNamed(entries: readonly CheckpointEntry[], name: string, location: string): CheckpointEntry {
  const entry = entries.find((candidate) => candidate.name === name);
  if (entry) return entry;
  const there = entries.map((candidate) => candidate.name).join(", ") || "none";
  throw new CoordError(
    "CHECKPOINT_INVALID",
    `There is no ${JSON.stringify(name)} in ${location}; checkpoints there: ${there}.`,
  );
}

/** See CheckpointStore.newestValid. */
export async function newestValidOf(
  store: CheckpointStore,
): Promise<{ checkpoint: Checkpoint; passedOver: PassedOver[] } | undefined> {
  const entries = await store.list();
  const passedOver: PassedOver[] = [];
  for (const entry of entries) {
    if (entry.state === "readable") continue;
    if (entry.newerFormat) {
      const way = `an older one has to be named: --from checkpoint-N`;
      throw new CoordError("CHECKPOINT_INVALID", `${entry.reason} To continue with this coord, ${way}.`);
    }
    passedOver.push({ name: entry.name, reason: entry.reason });
  }
  for (const entry of entries) {
    if (entry.state === "unreadable") continue;
    try {
      return { checkpoint: await store.load(entry.name), passedOver };
    } catch (thrown) {
      if (!(thrown instanceof CoordError)) throw thrown;
      passedOver.push({ name: entry.name, reason: thrown.message });
    }
  }
  if (entries.length === 0) return undefined;
  const reasons = passedOver.map(({ name, reason }) => `${name}: ${reason}`).join(" ");
  throw new CoordError("CHECKPOINT_INVALID", `None of the checkpoints in ${store.location} is valid. ${reasons}`);
}

/** Decides how a checkpoint takes its place among `entries`. Throws what a refusal is. */
export async function decideSave(
  store: CheckpointStore,
  entries: readonly CheckpointEntry[],
  contents: CheckpointContents,
): Promise<Exclude<CommitDecision, { action: "refuse" }>> {
  const name = `checkpoint-${contents.state.step}`;
  const manifests = entries.flatMap((entry) => (entry.state === "readable" ? [entry.manifest] : []));
  const generations = manifests.filter(({ runId }) => runId === contents.runId).map(({ generation }) => generation);
  const decision = decideCommit(contents.generation, {
    otherRun: manifests.find(({ runId }) => runId !== contents.runId)?.runId,
    newestGeneration: generations.reduce<bigint | undefined>(maximum, undefined),
    occupant: entries.some((entry) => entry.name === name)
      ? await occupant(store, name, contents)
      : { state: "nothing" },
  });
  if (decision.action !== "refuse") return decision;
  throw new CoordError(decision.code, `${name} was not saved to ${store.location}: ${decision.reason}.`);
}

/** Names of the run's own checkpoints that retention gives up, of those in `entries` whose files have their sizes. */
export function outOfRetention(
  entries: readonly ReadableEntry[],
  { runId, state, trainerState }: CheckpointContents,
  { saveMilestoneSteps = 0, saveTotalLimit = 0 }: StoreOptions,
): string[] {
  const own = entries.filter(({ manifest }) => manifest.runId === runId);
  const best = trainerState.best_model_checkpoint;
  const ages = own.map(({ manifest, name }) => ({ name, step: manifest.step, generation: manifest.generation }));
  return chooseRemovals(ages, `checkpoint-${state.step}`, {
    limit: saveTotalLimit,
    milestoneSteps: saveMilestoneSteps,
    best: best === null ? undefined : basename(best),
  }).remove;
}

async function occupant(store: CheckpointStore, name: string, { state }: CheckpointContents): Promise<Occupant> {
  try {
    const manifest: Manifest = await store.verify(name);
    return { state: "valid", generation: manifest.generation, sameBytes: hasSameState(manifest, state) };
  } catch (thrown) {
    if (!(thrown instanceof CoordError) || thrown.code !== "CHECKPOINT_INVALID") throw thrown;
    return { state: "damaged", reason: thrown.message };
  }
}

function maximum(a: bigint | undefined, b: bigint): bigint {
  return a === undefined || b > a ? b : a;
}
