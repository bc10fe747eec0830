import { rm } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { runConfigSchema } from "../../../../shared/config/schema.ts";
import { createEngine } from "../../../../worker/engine/createEngine.ts";
import { writeModel } from "../../../support/tinyModel.ts";

describe("createEngine", () => {
  it("refuses --max-length beyond the positions that a model has learned", async () => {
    const config = { model_type: "gpt2", vocab_size: 37, n_positions: 64, n_embd: 24, n_layer: 1, n_head: 4 };
    const modelDirectory = await writeModel(config, new Map());
    const settings = runConfigSchema.parse({ maxLength: 65, targetModules: ["c_attn"] });
    await expect(createEngine(settings, { modelDirectory, threads: 1 })).rejects.toMatchObject({
      code: "MODEL_INVALID",
      message: expect.stringContaining("for samples of 64 tokens, not for 65: set --max-length to 64 or less"),
    });
    await rm(modelDirectory, { recursive: true });
  });

  it("refuses a model before it starts anything", async () => {
    await expect(
      createEngine(runConfigSchema.parse({}), { modelDirectory: "nowhere", threads: 1 }),
    ).rejects.toMatchObject({
      code: "MODEL_INVALID",
      message: expect.stringContaining("There is no model directory nowhere;"),
    });
  });
});
