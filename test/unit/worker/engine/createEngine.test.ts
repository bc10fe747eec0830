import { describe, expect, it } from "vitest";
import { runConfigSchema } from "../../../../shared/config/schema.ts";
import { createEngine } from "../../../../worker/engine/createEngine.ts";

describe("createEngine", () => {
  it("refuses engines and devices that are not there, naming what is", async () => {
    const options = { modelDirectory: "nowhere", threads: 1 };
    await expect(createEngine(runConfigSchema.parse({ engine: "tfjs" }), options)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: "--engine tfjs is not available yet; use --engine onnx.",
    });
    await expect(createEngine(runConfigSchema.parse({ device: "cuda" }), options)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("use --device cpu or auto"),
    });
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
