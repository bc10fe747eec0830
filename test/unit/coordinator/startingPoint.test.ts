import { readdir, rm, truncate } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { findStart } from "../../../coordinator/startingPoint.ts";
import { LocalCheckpointStore } from "../../../shared/checkpoint/localStore.ts";
import { runConfigSchema } from "../../../shared/config/schema.ts";
import { checkpointContents } from "../../support/checkpointContents.ts";
import { temporaryDirectory } from "../../support/temporaryDirectory.ts";

const config = runConfigSchema.parse({});
const { runId, fingerprints } = checkpointContents(1);
const expected = { runId, fingerprints, maxSteps: 100 };

/** Two checkpoints, of steps 10 and 20. */
async function twoCheckpoints() {
  const store = new LocalCheckpointStore(temporaryDirectory());
  for (const step of [10, 20]) await store.save(checkpointContents(step));
  return store;
}

describe("findStart", () => {
  it("begins with the seed where there is no checkpoint", async () => {
    const start = await findStart(config, new LocalCheckpointStore(temporaryDirectory()), undefined, expected);
    expect(start).toMatchObject({ step: 0, trainerState: { global_step: 0, max_steps: 100 } });
    expect(start.state).toBeUndefined();
  });

  it("continues from the newest checkpoint, or from the one that is named", async () => {
    const store = await twoCheckpoints();
    expect(await findStart(config, store, undefined, expected)).toMatchObject({ step: 20 });
    expect(await findStart(config, store, "checkpoint-10", expected)).toMatchObject({ step: 10 });
  });

  it("moves damaged checkpoints that it passes over aside, whole, and says where and why", async () => {
    const store = await twoCheckpoints();
    await truncate(join(store.location, "checkpoint-20", "optimizer.safetensors"), 100);
    const start = await findStart(config, store, undefined, expected);
    expect(start.step).toBe(10);
    const [, aside] = /Passed over checkpoint-20, moved aside to (\S+): .*optimizer.safetensors is truncated/.exec(
      start.reason,
    )!;
    expect((await readdir(store.location)).sort()).toEqual(["checkpoint-10", basename(aside!)]);
    expect(await readdir(aside!)).toContain("optimizer.safetensors");
  });

  it("moves nothing where no checkpoint is valid: that is an error, and perhaps somebody can mend one", async () => {
    const store = await twoCheckpoints();
    for (const name of ["checkpoint-10", "checkpoint-20"]) await rm(join(store.location, name, "manifest.json"));
    await expect(findStart(config, store, undefined, expected)).rejects.toMatchObject({ code: "CHECKPOINT_INVALID" });
    expect((await readdir(store.location)).sort()).toEqual(["checkpoint-10", "checkpoint-20"]);
  });

  it("refuses a checkpoint of another run, and says how its weights can be used", async () => {
    const store = await twoCheckpoints();
    for (const from of [undefined, "checkpoint-10"]) {
      await expect(findStart(config, store, from, { ...expected, runId: "another" })).rejects.toMatchObject({
        code: "OUTPUT_IN_USE",
        message: expect.stringMatching(new RegExp(`is of run ${runId}, not of run another; .*--init-adapter`)),
      });
    }
  });

  it("refuses a checkpoint of another data set", async () => {
    const store = await twoCheckpoints();
    await expect(
      findStart(config, store, undefined, { ...expected, fingerprints: { ...fingerprints, dataset: "other" } }),
    ).rejects.toMatchObject({
      code: "CHECKPOINT_INVALID",
      message: expect.stringContaining("belongs to another data set"),
    });
  });

  it("refuses a checkpoint of another base model, and says what else is not as it was", async () => {
    const store = await twoCheckpoints();
    const other = { ...expected, fingerprints: { ...fingerprints, model: "other" } };
    await expect(findStart(config, store, undefined, other)).rejects.toMatchObject({
      code: "CHECKPOINT_INVALID",
      message: expect.stringContaining("other base weights"),
    });
    const contents = checkpointContents(30);
    await store.save({ ...contents, fingerprints: { ...fingerprints, processor: "A", node: "v1" } });
    const now = { ...expected, fingerprints: { ...fingerprints, processor: "B", node: "v2" } };
    const { reason } = await findStart(config, store, undefined, now);
    expect(reason).toContain("The bits of the result may differ from then: processor A, now B.");
    expect((await findStart(config, store, "checkpoint-20", now)).reason).not.toContain("differ");
  });
});
