import { describe, expect, it } from "vitest";
import { checkAdapter } from "../../../../coordinator/launch/checkAdapter.ts";
import { exportAdapter } from "../../../../shared/checkpoint/exportAdapter.ts";
import { runConfigSchema } from "../../../../shared/config/schema.ts";
import { checkpointContents } from "../../../support/checkpointContents.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const settings = (changes: object) =>
  runConfigSchema.parse({ loraR: 2, loraAlpha: 16, targetModules: ["q_proj"], ...changes });

describe("checkAdapter", () => {
  it("lets a run without an adapter pass, and one whose adapter has its rank and alpha", async () => {
    const initAdapter = temporaryDirectory();
    const { adapterConfig, state } = checkpointContents(1);
    await exportAdapter(initAdapter, state, adapterConfig);
    await checkAdapter(settings({ loraR: 7 }));
    await checkAdapter(settings({ initAdapter }));
    await checkAdapter(settings({ initAdapter, targetModules: ["all-linear"] }));
  });

  it.each([
    [{ loraR: 8 }, /rank 2, but --lora-r is 8; give --lora-r 2\./],
    [{ loraAlpha: 4 }, /alpha 16, but --lora-alpha is 4; give --lora-alpha 16\./],
    [
      { targetModules: ["v_proj", "q_proj"] },
      /target modules q_proj, but --target-modules is q_proj,v_proj; give --target-modules q_proj\./,
    ],
  ])("refuses %j, with the flag that makes it fit", async (changes, message) => {
    const initAdapter = temporaryDirectory();
    const { adapterConfig, state } = checkpointContents(1);
    await exportAdapter(initAdapter, state, adapterConfig);
    await expect(checkAdapter(settings({ ...changes, initAdapter }))).rejects.toMatchObject({
      code: "ADAPTER_INVALID",
      message: expect.stringMatching(message),
    });
  });
});
