import { createHash } from "node:crypto";
import { initialTrainerState } from "../../shared/checkpoint/trainerState.ts";
import type { CheckpointContents } from "../../shared/checkpoint/types.ts";
import { runConfigSchema } from "../../shared/config/schema.ts";
import { layOut } from "../../shared/tensors/layout.ts";

const prefix = "base_model.model.model.layers.0.self_attn";
export const smallLayout = layOut([
  { name: `${prefix}.q_proj.lora_A.weight`, shape: [2, 3] },
  { name: `${prefix}.q_proj.lora_B.weight`, shape: [3, 2] },
]);

/** A small checkpoint whose values are a function of `step` and `salt`. */
export function checkpointContents(
  step: number,
  { generation = 1n, runId = "20261120-2154-k3f9", salt = 0 } = {},
): CheckpointContents {
  const values = (seed: number) =>
    new Float32Array(smallLayout.elements).map((_, index) => Math.sin(step * 100 + seed * 10 + index + salt));
  return {
    runId,
    generation,
    state: { step, layout: smallLayout, parameters: values(1), firstMoment: values(2), secondMoment: values(3) },
    trainerState: {
      ...initialTrainerState(runConfigSchema.parse({}), 100),
      global_step: step,
      epoch: step / 10,
      log_history: [
        { loss: 1.5, learning_rate: 1e-4, grad_norm: 0.5, epoch: 0.1, step: 1 },
        { eval_loss: 1.25, epoch: 0.1, step: 1 },
      ],
    },
    adapterConfig: {
      base_model_name_or_path: "some/model",
      r: 2,
      lora_alpha: 16,
      lora_dropout: 0,
      target_modules: ["q_proj"],
    },
    cursor: { seed: 42, epoch: step / 10, slots: 4, datasetSize: 1000 },
    fingerprints: { dataset: "ab12", model: "cd34" },
  };
}

/** A manifest that was edited, with the checksum that its writer would have given it. */
export function withChecksum({ checksum: _, ...manifest }: Record<string, unknown>): string {
  const checksum = createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
  return `${JSON.stringify({ ...manifest, checksum }, undefined, 2)}\n`;
}
