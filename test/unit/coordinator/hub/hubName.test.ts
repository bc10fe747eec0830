import { describe, expect, it } from "vitest";
import { chooseFiles } from "../../../../coordinator/hub/chooseFiles.ts";
import { parseHubName } from "../../../../coordinator/hub/hubName.ts";
import { hubSettings } from "../../../../coordinator/hub/hubSettings.ts";

describe("parseHubName", () => {
  it.each([
    ["owner/name", { name: "owner/name", revision: "main" }],
    ["owner/name@v1.0", { name: "owner/name", revision: "v1.0" }],
    ["hf://owner/name", { name: "owner/name", revision: "main" }],
    ["hf://datasets/owner/name@refs/pr/1", { name: "owner/name", revision: "refs/pr/1" }],
    ["hf://owner/name@abc/data/*.parquet", { name: "owner/name", revision: "abc", path: "data/*.parquet" }],
    ["hf://owner/name/data/", { name: "owner/name", revision: "main", path: "data" }],
  ])("reads %s", (source, expected) => {
    expect(parseHubName(source)).toEqual({ path: undefined, ...expected });
  });

  it.each([
    "rows.jsonl",
    "data/rows.jsonl",
    "./owner/name",
    "/owner/name",
    "../a",
    "a/b/c",
    "hf://owner",
    "a//b",
    "-a/b",
  ])("does not take %s for a repository", (source) => expect(parseHubName(source)).toBeUndefined());
});

describe("hubSettings", () => {
  it("reads what HuggingFace's own tools read", () => {
    expect(
      hubSettings({ HF_ENDPOINT: "https://hf-mirror.com/", HF_TOKEN: " t\n", HF_HOME: "/h", HF_HUB_OFFLINE: "1" }),
    ).toEqual({ endpoint: "https://hf-mirror.com", token: "t", cacheDirectory: "/h/hub", offline: true });
  });

  it("goes to the hub and to the usual cache otherwise, and takes empty variables for none", () => {
    const settings = hubSettings({ HF_ENDPOINT: "", HF_HUB_OFFLINE: "0", XDG_CACHE_HOME: "/c" });
    expect(settings).toEqual({
      endpoint: "https://huggingface.co",
      token: undefined,
      cacheDirectory: "/c/huggingface/hub",
      offline: false,
    });
  });
});

describe("chooseFiles", () => {
  it("takes configuration, tokenizer and weights of a model, and nothing else", () => {
    const wanted = [
      "config.json",
      "model-00001-of-00002.safetensors",
      "model.safetensors.index.json",
      "tokenizer.json",
    ];
    expect(
      chooseFiles([...wanted, "README.md", "pytorch_model.bin", "onnx/model.safetensors"], "model", undefined),
    ).toEqual(wanted);
  });

  it("takes the training split of a data set where names tell splits apart", () => {
    const paths = ["data/test-0.parquet", "data/train-0.parquet", "data/train-1.parquet", "README.md"];
    expect(chooseFiles(paths, "dataset", undefined)).toEqual(["data/train-0.parquet", "data/train-1.parquet"]);
    expect(chooseFiles(["a.jsonl", "b_test.jsonl", "dataset_infos.json", "LICENSE.txt"], "dataset", undefined)).toEqual(
      ["a.jsonl"],
    );
  });

  it("takes what a path names: a file, a folder, a glob", () => {
    const paths = ["a/x.jsonl", "a/b/y.jsonl", "z.jsonl"];
    expect(chooseFiles(paths, "dataset", "z.jsonl")).toEqual(["z.jsonl"]);
    expect(chooseFiles(paths, "dataset", "a")).toEqual(["a/b/y.jsonl", "a/x.jsonl"]);
    expect(chooseFiles(paths, "dataset", "a/*.jsonl")).toEqual(["a/x.jsonl"]);
    expect(chooseFiles(paths, "dataset", "**/*.jsonl")).toEqual(["a/b/y.jsonl", "a/x.jsonl", "z.jsonl"]);
  });

  it("refuses names that would leave the directory", () => {
    expect(chooseFiles(["../a.jsonl", "/b.jsonl", "c/../d.jsonl", "e\\f.jsonl"], "dataset", undefined)).toEqual([]);
  });
});
