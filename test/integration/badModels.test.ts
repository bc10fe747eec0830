import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CoordError } from "../../shared/errors.ts";
import { encodeSafetensors } from "../../shared/tensors/safetensors.ts";
import { placeWeights } from "../../worker/engine/onnx/placeWeights.ts";
import { buildModel } from "../../worker/model/model.ts";
import { openWeights, readModelConfig } from "../../worker/model/weights.ts";
import { randomWeights, tinyConfig, tinyLora, writeModel } from "../support/tinyModel.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "coord-bad-model-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));
const file = (name: string) => join(root, name);

/** What loading throws; undefined where it succeeds. Anything but a MODEL_INVALID of one line fails the test. */
async function refusal(load: () => unknown): Promise<string | undefined> {
  try {
    await load();
    return undefined;
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(CoordError);
    const { code, message } = thrown as CoordError;
    expect(code, message).toBe("MODEL_INVALID");
    expect(message).toMatch(/^[^\n]{20,700}\.$/);
    return message;
  }
}

describe("a small weight file", () => {
  const values = (length: number) => Float32Array.from({ length }, (_, index) => index);
  const whole = encodeSafetensors([
    { name: "a.weight", shape: [2, 3], data: values(6) },
    { name: "b.weight", shape: [5], data: values(5) },
  ]);
  const headerBytes = 8 + Number(new DataView(whole.buffer).getBigUint64(0, true));
  const expected = new Map([
    ["a.weight", [2, 3]],
    ["b.weight", [5]],
  ]);
  const load = async (bytes: Uint8Array) => {
    await writeFile(file("model.safetensors"), bytes);
    return refusal(async () => {
      const weights = await openWeights(root, expected);
      try {
        for (const name of expected.keys()) await weights.readFloat32(name);
      } finally {
        await weights.close();
      }
    });
  };

  it("is read as it is", async () => {
    expect(await load(whole)).toBeUndefined();
  });

  it("is refused with any one bit of its header flipped", async () => {
    const accepted: string[] = [];
    for (let bit = 0; bit < headerBytes * 8; bit++) {
      const bytes = whole.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const message = await load(bytes);
      if (!message?.includes(root)) accepted.push(`bit ${bit & 7} of byte ${bit >> 3}: ${message}`);
    }
    expect(accepted).toEqual([]);
  });

  it("is refused cut off at any length, and with a byte too many", async () => {
    for (let length = 0; length < whole.length; length++) {
      expect(await load(whole.subarray(0, length)), `${length} bytes`).toContain("truncated");
    }
    expect(await load(Buffer.concat([whole, Buffer.alloc(1)]))).toContain("belong to no tensor");
  });
});

describe("a model directory", () => {
  let directory: string;
  const inside = (name: string) => join(directory, name);
  const load = () =>
    refusal(async () => {
      const { content, path } = await readModelConfig(directory);
      const model = buildModel(content, path, tinyLora);
      const weights = await openWeights(directory, model.frozen);
      try {
        await placeWeights(model, weights);
      } finally {
        await weights.close();
      }
    });
  const writeConfig = (edit: object) => writeFile(inside("config.json"), JSON.stringify({ ...tinyConfig, ...edit }));
  const index = (place: string) =>
    JSON.stringify({
      weight_map: Object.fromEntries([...randomWeights(tinyConfig).keys()].map((name) => [name, place])),
    });

  beforeEach(async () => {
    directory = await writeModel(tinyConfig, randomWeights(tinyConfig));
    expect(await load()).toBeUndefined();
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it.each(["../outside", "/etc/hostname", "a/../../outside", "..", ".", "", "a/b", "..\\outside", "/dev/zero"])(
    "is refused with an index that names %j",
    async (place) => {
      await rm(inside("model.safetensors"));
      await writeFile(inside("model.safetensors.index.json"), index(place));
      expect(await load()).toContain("which is not in the model directory");
    },
  );

  it("is refused where a link leads out of it, without a word of what is there", async () => {
    const secret = file("secret");
    await writeFile(secret, "root:x:0:0");
    for (const name of ["config.json", "model.safetensors"]) {
      const own = await readFile(inside(name));
      await rm(inside(name));
      await symlink(secret, inside(name));
      const message = await load();
      expect(message).toContain(`${inside(name)} is a link that leads out of the model directory`);
      expect(message).not.toContain("root:x");
      await rm(inside(name));
      await writeFile(inside(name), own);
    }
    await rm(inside("model.safetensors"));
    await writeFile(inside("model.safetensors.index.json"), index("part"));
    await symlink(secret, inside("part"));
    expect(await load()).toContain("part is a link that leads out");
    await rm(inside("model.safetensors.index.json"));
    await symlink(secret, inside("model.safetensors.index.json"));
    expect(await load()).toContain("index.json is a link that leads out");
  });

  it("is refused where a FIFO, a directory or a file without end stands for a file, without waiting", async () => {
    for (const name of ["config.json", "model.safetensors"]) {
      const own = await readFile(inside(name));
      await rm(inside(name));
      execFileSync("mkfifo", [inside(name)]);
      expect(await load()).toContain("is not a regular file");
      await rm(inside(name));
      await mkdir(inside(name));
      expect(await load()).toMatch(/is not a regular file|EISDIR/);
      await rm(inside(name), { recursive: true });
      await writeFile(inside(name), own);
    }
    await truncate(inside("config.json"), 2 ** 33);
    expect(await load()).toContain("more than the");
  });

  it("is refused with other weights than config.json asks for, naming the tensor and both shapes", async () => {
    await writeConfig({ intermediate_size: 41 });
    expect(await load()).toMatch(/gate_proj\.weight in .* has shape \[40, 24\] where config\.json asks for \[41, 24\]/);
    await writeConfig({ num_hidden_layers: 3 });
    expect(await load()).toMatch(/lack model\.layers\.2\..* and \d+ more/);
    await writeConfig({ vocab_size: 2 ** 24, hidden_size: 2 ** 24, head_dim: 2 ** 24 });
    expect(await load()).toContain("where config.json asks for [16777216, 16777216]");
  });

  it("is refused when its weights are a pickle alone, with the reason and the way out", async () => {
    await rm(inside("model.safetensors"));
    await writeFile(inside("pytorch_model.bin"), "");
    expect(await load()).toMatch(/pickle that can run code when it is read; .*safe_serialization=True/);
  });

  it("is refused with a config.json nested deeper than any stack", async () => {
    await writeFile(inside("config.json"), "[".repeat(1_000_000));
    expect(await load()).toContain("cannot be read as JSON");
  });

  it.each(["", "{", "[1]", "null", "7", '"model"', "\u0000", "\uFEFF{}"])(
    "is refused with a config.json of %j",
    async (text) => {
      await writeFile(inside("config.json"), text);
      expect(await load()).toMatch(
        /config\.json (cannot be read as JSON|does not hold a JSON object|names no architecture)/,
      );
    },
  );
});

describe("a config.json", () => {
  const nonsense = [-1, 0, 0.5, 1e9, 1e308, "x", "", null, true, [], {}, [1], { a: {} }, "9".repeat(400)];
  const families: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    llama: tinyConfig,
    mistral: { ...tinyConfig, architectures: undefined, model_type: "mistral", sliding_window: 4 },
    qwen2: {
      ...tinyConfig,
      architectures: undefined,
      model_type: "qwen2",
      max_window_layers: 1,
      use_sliding_window: true,
    },
    qwen3: { ...tinyConfig, architectures: undefined, model_type: "qwen3", layer_types: ["full_attention"] },
    gpt2: { model_type: "gpt2", vocab_size: 37, n_positions: 16, n_embd: 24, n_layer: 2, n_head: 4, n_inner: 30 },
    opt: {
      model_type: "opt",
      vocab_size: 37,
      hidden_size: 24,
      ffn_dim: 40,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      max_position_embeddings: 16,
      word_embed_proj_dim: 12,
    },
    gpt_neox: {
      model_type: "gpt_neox",
      vocab_size: 37,
      hidden_size: 32,
      intermediate_size: 40,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      rotary_pct: 0.25,
    },
  };
  const sizes =
    /^(vocab_size|hidden_size|intermediate_size|num_hidden_layers|num_attention_heads|n_(embd|layer|head)|ffn_dim)$/;
  const build = (content: unknown) =>
    refusal(() => buildModel(content, "DIR/config.json", { ...tinyLora, targetModules: ["all-linear"] }));

  for (const [name, config] of Object.entries(families)) {
    it(`of ${name} with nonsense under any key is refused, or means what it says`, async () => {
      expect(await build(config)).toBeUndefined();
      for (const key of Object.keys(config)) {
        for (const value of nonsense) {
          const message = await build({ ...config, [key]: value });
          if (!sizes.test(key)) continue;
          expect(message, `${key}: ${JSON.stringify(value)}`).toMatch(
            /^DIR\/config\.json does not describe .*; use the file/,
          );
        }
        if (!sizes.test(key)) continue;
        expect(await build({ ...config, [key]: undefined })).toContain(key);
      }
    });
  }

  it("of a kind that is not known is refused with the list of those that are", async () => {
    const list = /supported: LlamaForCausalLM, .*GPTNeoXForCausalLM/;
    for (const [content, what] of [
      [{ model_type: "mamba" }, 'names the model_type "mamba"'],
      [{ model_type: { a: 1 } }, 'names the model_type {"a":1}'],
      [{ architectures: ["__proto__"] }, 'names the architecture "__proto__"'],
      [{ architectures: ["MambaForCausalLM"], model_type: "llama" }, 'names the architecture "MambaForCausalLM"'],
      [{ architectures: "LlamaForCausalLM" }, "names no architecture"],
      [{}, "names no architecture"],
      [[], "does not hold a JSON object"],
      [null, "does not hold a JSON object"],
    ] as const) {
      const message = await build(content);
      expect(message).toContain(`DIR/config.json ${what};`);
      expect(message).toMatch(list);
    }
  });
});
