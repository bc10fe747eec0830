import { readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { LocalCheckpointStore } from "../../../../shared/checkpoint/localStore.ts";
import { type PruneOptions, pruneCheckpoints } from "../../../../shared/checkpoint/pruneCheckpoints.ts";
import { checkpointContents } from "../../../support/checkpointContents.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const names = async (directory: string) => (await readdir(directory)).sort();
const prune = (directory: string, options: Partial<PruneOptions>) =>
  pruneCheckpoints(new LocalCheckpointStore(directory, { onWarning: expect.fail }), {
    keep: 1,
    milestoneSteps: 0,
    dryRun: false,
    ...options,
  });

async function five(best: number | null = null): Promise<string> {
  const directory = temporaryDirectory();
  const store = new LocalCheckpointStore(directory);
  for (const step of [10, 20, 30, 40, 50]) {
    const contents = checkpointContents(step);
    const best_model_checkpoint = best === null ? null : `/elsewhere/checkpoint-${best}`;
    await store.save({ ...contents, trainerState: { ...contents.trainerState, best_model_checkpoint } });
  }
  return directory;
}

describe("pruneCheckpoints", () => {
  it("keeps the newest, the best wherever the directory was, and the milestones", async () => {
    const directory = await five(10);
    const report = await prune(directory, { keep: 2, milestoneSteps: 40, dryRun: true });
    expect(report).toMatchObject({ removed: ["checkpoint-30", "checkpoint-20"], damaged: [] });
    expect(await names(directory)).toHaveLength(5);
    expect(await prune(directory, { keep: 2, milestoneSteps: 40 })).toEqual(report);
    expect(await names(directory)).toEqual(["checkpoint-10", "checkpoint-40", "checkpoint-50"]);
  });

  it("does not count damaged ones, and leaves those it has met for a person", async () => {
    const directory = await five();
    await truncate(join(directory, "checkpoint-50", "optimizer.safetensors"), 9);
    await writeFile(join(directory, "checkpoint-40", "manifest.json"), "{");
    const report = await prune(directory, { keep: 2 });
    expect(report.kept).toEqual(["checkpoint-30", "checkpoint-20"]);
    expect(report.damaged.map(({ name }) => name).sort()).toEqual(["checkpoint-40", "checkpoint-50"]);
    expect(await names(directory)).toEqual(["checkpoint-20", "checkpoint-30", "checkpoint-40", "checkpoint-50"]);
  });

  it("removes none where none is valid, and all where that is asked for", async () => {
    const directory = await five();
    for (const name of await names(directory)) await truncate(join(directory, name, "trainer_state.json"), 0);
    await expect(prune(directory, {})).rejects.toMatchObject({ code: "CHECKPOINT_INVALID" });
    expect(await names(directory)).toHaveLength(5);
    expect((await prune(directory, { keep: "none" })).removed).toHaveLength(5);
    expect(await names(directory)).toEqual([]);
    expect(await prune(directory, {})).toMatchObject({ removed: [], reason: "there are no checkpoints" });
  });
});
