import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CheckpointWriter } from "../../../../coordinator/checkpoint/checkpointWriter.ts";
import { hostFileSystem } from "../../../../shared/checkpoint/fileSystem.ts";
import { LocalCheckpointStore } from "../../../../shared/checkpoint/localStore.ts";
import { type RunConfig, runConfigSchema } from "../../../../shared/config/schema.ts";
import { CoordError } from "../../../../shared/errors.ts";
import { checkpointContents } from "../../../support/checkpointContents.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

/** A writer into a directory whose free bytes the test decides. */
function setUp(settings: Partial<RunConfig> = {}) {
  const output = temporaryDirectory();
  const config = runConfigSchema.parse({ model: "/models/some", output, ...settings });
  const disk = { free: 1e9, taken: false };
  const fs = { ...hostFileSystem, freeBytes: () => Promise.resolve(disk.free) };
  const said: string[] = [];
  const writer = new CheckpointWriter({
    runId: "20261120-2154-k3f9",
    config,
    plan: { seed: 1, datasetSize: 10, slots: 1, microBatch: 1, accumulation: 1 },
    store: new LocalCheckpointStore(output, { fs, saveTotalLimit: config.saveTotalLimit }),
    checkOwner: () => {
      if (disk.taken) throw new CoordError("RUN_IN_USE", "Another coordinator has the run.");
    },
    fingerprints: {},
    tokenizerFiles: [],
    onSaved: (_path, step) => said.push(`saved ${step}`),
    onTolerated: (step, error) => said.push(`tolerated ${step}: ${error.message}`),
  });
  const save = (step: number, losses: Record<number, number> = {}) => {
    const { state, trainerState } = checkpointContents(step);
    const log_history = Object.entries(losses).map(([at, eval_loss]) => ({ step: Number(at), epoch: 0, eval_loss }));
    return writer.save(state, 1n, { ...trainerState, log_history });
  };
  const trainerState = async (step: number) =>
    JSON.parse(await readFile(join(output, `checkpoint-${step}`, "trainer_state.json"), "utf8"));
  return { disk, output, said, save, trainerState, writer };
}

describe("CheckpointWriter", () => {
  it("writes nothing once another coordinator has the run, even where troubles are to be lived with", async () => {
    const { disk, output, save, said } = setUp({ onSaveError: "continue" });
    disk.taken = true;
    await expect(save(1)).rejects.toMatchObject({ code: "RUN_IN_USE" });
    expect(said).toEqual([]);
    expect(await readdir(output)).toEqual([]);
  });

  it("names the checkpoint with the best held-out loss, and keeps it", async () => {
    const { output, save, trainerState } = setUp({ saveTotalLimit: 2 });
    await save(10, { 10: 3 });
    await save(20, { 10: 3, 15: 0.1, 20: 2 });
    expect((await trainerState(20)).best_model_checkpoint).toBe(join(output, "checkpoint-20"));
    await save(30, { 20: 2, 30: 4 });
    await save(40, { 20: 2, 30: 4, 40: 3 });
    expect((await trainerState(40)).best_model_checkpoint).toBe(join(output, "checkpoint-20"));
    const left = (await new LocalCheckpointStore(output).list()).map(({ step }) => step);
    expect(left).toEqual([40, 20]);
  });

  it("ends the run over a full disk, naming needed and free bytes, with the old checkpoint intact", async () => {
    const { disk, output, save } = setUp();
    await save(10);
    disk.free = 1000;
    await expect(save(20)).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringMatching(/^checkpoint-20 needs \d{5} bytes, but 1000 bytes are free at /),
    });
    expect((await new LocalCheckpointStore(output).newestValid())?.checkpoint.name).toBe("checkpoint-10");
  });

  it("trains on with --on-save-error continue, and tries again at the next checkpoint", async () => {
    const { disk, said, save, writer } = setUp({ onSaveError: "continue" });
    disk.free = 1000;
    await save(10);
    expect(said).toEqual([expect.stringMatching(/^tolerated 10: checkpoint-10 needs /)]);
    // At the end of the run the newest state must be on disk.
    await writer.idle();
    await expect(writer.settled()).rejects.toMatchObject({ code: "STORAGE_FAILED" });
    disk.free = 1e9;
    await save(20);
    expect(said[1]).toBe("saved 20");
    await writer.settled();
  });

  it("never tolerates another coordinator's work", async () => {
    const { output, save } = setUp({ onSaveError: "continue" });
    await new LocalCheckpointStore(output).save(checkpointContents(5, { generation: 9n }));
    await expect(save(10)).rejects.toMatchObject({ code: "STALE_GENERATION" });
  });
});
