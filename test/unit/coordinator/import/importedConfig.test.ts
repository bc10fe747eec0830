import { describe, expect, it } from "vitest";
import { importedConfig } from "../../../../coordinator/import/importedConfig.ts";
import { targetModulesOf } from "../../../../coordinator/import/targetModules.ts";
import { decodeForeignTrainerState } from "../../../../shared/checkpoint/foreignTrainerState.ts";
import { type RunConfig, runConfigSchema } from "../../../../shared/config/schema.ts";

const adapter = { r: 4, lora_alpha: 32, lora_dropout: 0.1, use_rslora: true, rank_pattern: { v_proj: 2 } };
const trainer = decodeForeignTrainerState(
  '{"global_step": 9, "max_steps": 40, "num_train_epochs": 2, "train_batch_size": 3, "save_steps": 10}',
  "",
);
const decide = (given: Partial<RunConfig> = {}) =>
  importedConfig(
    runConfigSchema.parse(given),
    Object.fromEntries(Object.keys(given).map((key) => [key, "flag"])),
    adapter,
    ["q_proj", "v_proj"],
    trainer,
  );

describe("importedConfig", () => {
  it("takes the adapter's settings and the Trainer's", () => {
    const { config, taken } = decide();
    const expected = { loraR: 4, loraAlpha: 32, loraDropout: 0.1, numTrainEpochs: 2, maxSteps: 40, saveSteps: 10 };
    const scaling = { useRslora: true, rankPattern: ["v_proj=2"], alphaPattern: [] };
    const plain = { useDora: false, bias: "none", modulesToSave: [] };
    const targetModules = ["q_proj", "v_proj"];
    expect(taken).toEqual({ ...expected, ...scaling, ...plain, perDeviceTrainBatchSize: 3, targetModules });
    expect(config).toMatchObject({ ...expected, adamStartStep: 9, loggingSteps: 1 });
  });

  it("lets the user decide how long to train and how to save, but not what the adapter is", () => {
    expect(decide({ saveSteps: 5, loraDropout: 0 }).config).toMatchObject({
      saveSteps: 5,
      loraDropout: 0,
      maxSteps: 40,
    });
    expect(decide({ numTrainEpochs: 9 }).config).toMatchObject({ numTrainEpochs: 9, maxSteps: -1 });
    expect(decide({ loraR: 4, targetModules: ["v_proj", "q_proj"] }).config.loraR).toBe(4);
    expect(() => decide({ loraAlpha: 8 })).toThrow("--lora-alpha is 8, but the adapter to be imported has 32");
    expect(() => decide({ targetModules: ["q_proj"] })).toThrow("--target-modules is q_proj");
  });
});

describe("targetModulesOf", () => {
  const weights = [0, 1].flatMap((layer) => ["q_proj", "v_proj"].map((name) => `layers.${layer}.${name}.weight`));
  const modules = (...names: string[]) =>
    names.map((module) => ({
      module,
      scale: 1,
      up: { shape: [], data: new Float32Array() },
      down: { shape: [], data: new Float32Array() },
    }));

  it("are plain names where every module of a name has an adapter", () => {
    const all = modules("layers.1.v_proj", "layers.0.q_proj", "layers.1.q_proj", "layers.0.v_proj");
    expect(targetModulesOf(all, weights)).toEqual(["q_proj", "v_proj"]);
    expect(targetModulesOf(all.slice(1, 3), weights)).toEqual(["q_proj"]);
  });

  it("are whole module names where only some layers have one", () => {
    expect(targetModulesOf(modules("layers.1.v_proj"), weights)).toEqual(["layers.1.v_proj"]);
  });
});
