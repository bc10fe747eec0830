import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inspectCheckpoint } from "../../../../shared/checkpoint/inspectCheckpoint.ts";
import { LocalCheckpointStore } from "../../../../shared/checkpoint/localStore.ts";
import { packageRoot } from "../../../../shared/process/packageRoot.ts";

// Written once by test/support/writeGoldenCheckpoint.mjs. A change that makes one of these tests fail locks somebody
// out of a checkpoint: change the program, never the files.
const golden = join(packageRoot(), "test", "fixtures", "checkpoints");

/** The values that the script wrote. */
const values = (salt: number, length: number) =>
  Array.from({ length }, (_, index) => (((index * 37 + salt) % 257) - 128) / 2 ** 10);

describe("golden checkpoints", () => {
  it.each(readdirSync(golden))("of format version %s load", async (version) => {
    const found = await new LocalCheckpointStore(join(golden, version)).newestValid();
    expect(found).toMatchObject({ checkpoint: { name: "checkpoint-30" }, passedOver: [] });
    expect(await inspectCheckpoint(join(golden, version, "checkpoint-30"), 30)).toMatchObject({ valid: true });
  });

  it.each(readdirSync(golden))("of format version %s give every value back", async (version) => {
    const { state, ...rest } = await new LocalCheckpointStore(join(golden, version)).load("checkpoint-30");
    expect(rest).toMatchObject({
      runId: "20261121-0700-gold",
      generation: 2n ** 64n - 1n,
      cursor: { seed: 42, epoch: 0.75, slots: 4, datasetSize: 1000 },
      fingerprints: { dataset: "0123456789abcdef", threads: "1", node: "v20.19.0", arch: "x64" },
      adapterConfig: { base_model_name_or_path: "some/model", r: 4, lora_alpha: 8, lora_dropout: 0.05 },
      trainerState: {
        global_step: 30,
        max_steps: 100,
        best_model_checkpoint: "/somewhere/checkpoint-20",
        num_input_tokens_seen: 123456,
        stateful_callbacks: { EarlyStoppingCallback: { attributes: { early_stopping_patience_counter: 1 } } },
      },
    });
    expect(rest.trainerState.log_history).toHaveLength(3);
    expect(state.step).toBe(30);
    expect(state.layout.tensors.map(({ name, shape }) => [name, shape])).toEqual(
      [0, 1].flatMap((layer) =>
        ["q_proj", "v_proj"].flatMap((module) => [
          [`base_model.model.model.layers.${layer}.self_attn.${module}.lora_A.weight`, [4, 16]],
          [`base_model.model.model.layers.${layer}.self_attn.${module}.lora_B.weight`, [16, 4]],
        ]),
      ),
    );
    const length = state.layout.elements;
    expect([...state.parameters]).toEqual([-0, 2 ** -149, ...values(1, length).slice(2)]);
    expect([...state.firstMoment]).toEqual(values(2, length));
    expect([...state.secondMoment]).toEqual(values(3, length).map(Math.abs));
  });
});
