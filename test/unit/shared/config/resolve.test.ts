import { describe, expect, it } from "vitest";
import { type ConfigInput, resolveConfig, resolveOverrides } from "../../../../shared/config/resolve.ts";
import { settings } from "../../../../shared/config/settings.ts";
import { CoordError } from "../../../../shared/errors.ts";

function problem(input: ConfigInput): string {
  try {
    resolveConfig(input);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(CoordError);
    expect((thrown as CoordError).code).toBe("CONFIG_INVALID");
    return (thrown as CoordError).message;
  }
  throw new Error("The configuration was accepted.");
}

const file = (values: Record<string, unknown>) => ({ name: "coord.yaml", values });

describe("resolveConfig", () => {
  it("takes a flag before the environment, the environment before the file and the file before the default", () => {
    const { config, sources } = resolveConfig({
      flags: { seed: "1" },
      environment: { COORD_SEED: "2", COORD_LORA_R: "4" },
      file: file({ seed: 3, lora_r: 5, lora_alpha: 32 }),
    });
    expect(config).toMatchObject({ seed: 1, loraR: 4, loraAlpha: 32, maxLength: 512 });
    expect(sources).toMatchObject({ seed: "flag", loraR: "environment", loraAlpha: "file", maxLength: "default" });
  });

  it("names the source of every setting", () => {
    const { sources } = resolveConfig({});
    expect(Object.keys(sources)).toEqual(settings.map(({ key }) => key));
    expect(new Set(Object.values(sources))).toEqual(new Set(["default"]));
  });

  it.each(["lora_alpha", "lora-alpha", "loraAlpha"])("accepts %s as a key of the file", (name) => {
    expect(resolveConfig({ file: file({ [name]: 64 }) }).config.loraAlpha).toBe(64);
  });

  it.each(["nnodes", "nodes"])("accepts %s for the number of nodes", (name) => {
    expect(resolveConfig({ flags: { [name]: "2" } }).config.nodes).toBe(2);
  });

  it("reads numbers, booleans and lists from text", () => {
    const { config } = resolveConfig({
      environment: {
        COORD_LEARNING_RATE: "1e-3",
        COORD_TRAIN_ON_INPUTS: "yes",
        COORD_TARGET_MODULES: "q_proj, k_proj",
      },
    });
    expect(config).toMatchObject({ learningRate: 1e-3, trainOnInputs: true, targetModules: ["q_proj", "k_proj"] });
  });

  it("joins a list flag that is repeated and takes the last of a single-valued one", () => {
    const { config } = resolveConfig({ flags: { "target-modules": ["q_proj,v_proj", "o_proj"], gpus: ["2", "4"] } });
    expect(config).toMatchObject({ targetModules: ["q_proj", "v_proj", "o_proj"], gpus: 4 });
  });

  it("treats empty variables, empty YAML values and absent flags as not given", () => {
    const { sources } = resolveConfig({
      flags: { gpus: undefined },
      environment: { COORD_NODES: "", PATH: "/bin" },
      file: file({ data: null }),
    });
    expect(sources).toMatchObject({ gpus: "default", nodes: "default", data: "default" });
  });

  it.each<[string, ConfigInput, string]>([
    ["a number below a whole-number minimum", { flags: { gpus: "0" } }, "--gpus must be at least 1, got 0."],
    ["a word for a number", { flags: { nodes: "two" } }, '--nodes must be a whole number, got "two".'],
    [
      "a fraction for a whole number",
      { flags: { "max-steps": "1.5" } },
      "--max-steps must be a whole number, got 1.5.",
    ],
    ["an empty number", { flags: { "lora-alpha": " " } }, '--lora-alpha must be a number, got " ".'],
    ["zero where more is needed", { flags: { "lora-alpha": "0" } }, "--lora-alpha must be greater than 0, got 0."],
    [
      "more than an inclusive maximum",
      { flags: { "augment-swap": "1.5" } },
      "--augment-swap must be at most 1, got 1.5.",
    ],
    [
      "neither a fraction nor a count",
      { flags: { "eval-split": "0.7" } },
      "--eval-split must be at most 0.5, or a whole number of samples, got 0.7.",
    ],
    ["an exclusive maximum itself", { flags: { "adam-beta1": "1" } }, "--adam-beta1 must be less than 1, got 1."],
    [
      "an unknown choice in a list",
      { flags: { "report-to": "wandb" } },
      '--report-to must be a list of tensorboard, mlflow, got ["wandb"].',
    ],
    ["an unknown choice", { flags: { engine: "torch" } }, '--engine must be one of onnx, tfjs, got "torch".'],
    [
      "an unknown device",
      { flags: { device: "gpu" } },
      '--device must be auto, cpu, webgpu, cuda or cuda:INDEX, got "gpu".',
    ],
    [
      "an engine without the device asked for",
      { flags: { engine: "tfjs", device: "webgpu" } },
      "--device webgpu needs --engine onnx; with --engine tfjs use --device auto, cpu or cuda.",
    ],
    [
      "no boolean",
      { environment: { COORD_INSECURE: "maybe" } },
      'COORD_INSECURE (--insecure) must be true or false, got "maybe".',
    ],
    ["an empty list", { flags: { "target-modules": "," } }, "--target-modules must name at least one, got []."],
    [
      "a list of the wrong things",
      { file: file({ target_modules: [1] }) },
      "target_modules in coord.yaml (--target-modules) must be a list of names, got [1].",
    ],
    ["a malformed range", { flags: { "port-range": "x" } }, '--port-range must look like 29500-29600, got "x".'],
    [
      "a range that goes down",
      { flags: { "port-range": "300-200" } },
      '--port-range must go upwards and lie in 1024-65535, got "300-200".',
    ],
    ["a number for text", { file: file({ model: 7 }) }, "model in coord.yaml (--model) must be text, got 7."],
    ["an unknown flag", { flags: { learningrate: "1" } }, "Unknown flag --learningrate; did you mean --learning-rate?"],
    [
      "an unknown variable",
      { environment: { COORD_LORA_RANK: "8" } },
      "Unknown environment variable COORD_LORA_RANK; did you mean COORD_LORA_R?",
    ],
    [
      "an unknown key",
      { file: file({ batch_size: 8 }) },
      "Unknown key batch_size in coord.yaml; did you mean per_device_train_batch_size?",
    ],
    ["a key like nothing known", { file: file({ zzzzzz: 8 }) }, "Unknown key zzzzzz in coord.yaml."],
    ["a key that is given twice", { file: file({ lora_r: 8, loraR: 4 }) }, "coord.yaml gives lora_r twice."],
    ["a key of the prototype", { file: file(JSON.parse('{"__proto__": 1}')) }, "Unknown key __proto__ in coord.yaml."],
    ["half a certificate", { flags: { "tls-cert": "a.pem" } }, "--tls-cert and --tls-key must be given together."],
  ])("refuses %s in one sentence", (_, input, sentence) => {
    expect(problem(input)).toBe(sentence);
  });

  it("lists all problems at once, in the order of the settings", () => {
    expect(problem({ flags: { seed: "-1", gpus: "0", bogus: "1" } })).toBe(
      "3 settings are wrong:\n  - Unknown flag --bogus.\n  - --gpus must be at least 1, got 0.\n  - --seed must be at least 0, got -1.",
    );
  });

  it.each(["COORD_HOME", "COORD_RUN_ID", "COORD_TOKEN_FILE", "COORD_DEBUG", "COORD_LOG_LEVEL"])(
    "leaves %s alone",
    (name) => {
      expect(() => resolveConfig({ environment: { [name]: "x" } })).not.toThrow();
    },
  );

  it("ignores the variables that Kubernetes makes for Services", () => {
    const environment = {
      COORD_SERVICE_HOST: "10.0.0.1",
      COORD_SERVICE_PORT_GRPC: "29500",
      COORD_PORT: "tcp://10.0.0.1:29500",
      COORD_COORDINATOR_PORT_29500_TCP_ADDR: "10.0.0.1",
    };
    expect(() => resolveConfig({ environment })).not.toThrow();
    expect(problem({ environment: { COORD_PORT: "29500" } })).toContain("Unknown environment variable COORD_PORT");
  });

  it("allows an open listener with a certificate or with --insecure", () => {
    expect(() => resolveConfig({ flags: { listen: "0.0.0.0", insecure: true } })).not.toThrow();
    expect(() => resolveConfig({ flags: { listen: "0.0.0.0", "tls-cert": "a", "tls-key": "b" } })).not.toThrow();
  });
});

describe("resolveOverrides", () => {
  it("returns only what the flags name, checked", () => {
    expect(resolveOverrides({ gpus: "4", "max-steps": "10" })).toEqual({ gpus: 4, maxSteps: 10 });
    expect(() => resolveOverrides({ gpus: "0" })).toThrow("--gpus must be at least 1, got 0.");
  });
});
