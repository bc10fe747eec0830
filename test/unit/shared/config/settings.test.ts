import { describe, expect, it } from "vitest";
import { defaultText, flagOptions, helpText } from "../../../../shared/config/flags.ts";
import { nearestName } from "../../../../shared/config/nearestName.ts";
import { parseValue } from "../../../../shared/config/parseValue.ts";
import { configReference } from "../../../../shared/config/reference.ts";
import { runConfigSchema } from "../../../../shared/config/schema.ts";
import { settingNamed, settings } from "../../../../shared/config/settings.ts";

describe("settings", () => {
  it("are those of the schema, in its order, each with a description", () => {
    expect(settings.map(({ key }) => key)).toEqual(Object.keys(runConfigSchema.shape));
    expect(settings.filter(({ description }) => description === "")).toEqual([]);
  });

  it("have names that do not collide", () => {
    const names = settings.flatMap(({ flag, aliases }) => [flag, ...aliases]);
    expect(new Set(names).size).toBe(names.length);
  });

  it("know their kind, names, default and choices", () => {
    expect(settingNamed("adam_beta1")).toMatchObject({
      key: "adamBeta1",
      kind: "number",
      group: "Training",
      flag: "adam-beta1",
      environment: "COORD_ADAM_BETA1",
      default: 0.9,
    });
    expect(settingNamed("engine")).toMatchObject({ kind: "text", choices: ["onnx", "tfjs"], group: "Model" });
    expect(settingNamed("targetModules")).toMatchObject({ kind: "list", group: "LoRA" });
    expect(settingNamed("insecure")).toMatchObject({ kind: "boolean", group: "Launch" });
  });

  it.each([
    ["nproc_per_node", "gpus"],
    ["nproc-per-node", "gpus"],
    ["nprocPerNode", "gpus"],
    ["nnodes", "nodes"],
    ["output_dir", "output"],
  ])("are found by the alias %s", (name, key) => {
    expect(settingNamed(name)?.key).toBe(key);
  });

  it("are not found by names that only look alike", () => {
    expect(settingNamed("LORA_R")).toBeUndefined();
    expect(settingNamed("constructor")).toBeUndefined();
  });
});

describe("flagOptions", () => {
  it("takes values as text and booleans as switches, without defaults of its own", () => {
    const options = flagOptions();
    expect(options["gpus"]).toEqual({
      alias: ["nproc-per-node"],
      describe: "Workers per node, one per GPU. [default: 1]",
      group: "Launch:",
      requiresArg: true,
    });
    expect(options["insecure"]).toMatchObject({ type: "boolean" });
    expect(Object.values(options).some((option) => "default" in option)).toBe(false);
  });

  it("names choices and default in the help text, unless the description has the default in words", () => {
    expect(helpText(settingNamed("engine")!)).toBe("What computes gradients. [onnx, tfjs; default: onnx]");
    expect(helpText(settingNamed("masterPort")!)).toBe("Port of the coordinator (default: any free port).");
    expect(defaultText(settingNamed("targetModules")!)).toBe("q_proj,v_proj");
  });
});

describe("parseValue", () => {
  it("hands on what does not look like the setting's type, for the schema to quote", () => {
    expect(parseValue(settingNamed("gpus")!, "0x")).toBe("0x");
    expect(parseValue(settingNamed("gpus")!, "Infinity")).toBe("Infinity");
    expect(parseValue(settingNamed("model")!, "007")).toBe("007");
  });
});

describe("nearestName", () => {
  it.each([
    ["lerning-rate", "learning-rate"],
    ["statsu", "status"],
    ["batch-size", "per-device-train-batch-size"],
    ["qqqqqqqq", undefined],
  ])("answers %s with %s", (name, expected) => {
    expect(nearestName(name, ["status", "learning-rate", "per-device-train-batch-size"])).toBe(expected);
  });
});

describe("configReference", () => {
  it("has one row per setting under its group", () => {
    const text = configReference();
    expect(text.match(/^### .+$/gm)).toEqual(["### Launch", "### Model", "### Data", "### LoRA", "### Training"]);
    for (const { flag } of settings) expect(text).toContain(`\n| \`--${flag}\``);
    expect(text).toContain("| `--gpus`, `--nproc-per-node` | `1` | Workers per node, one per GPU. |");
  });
});
