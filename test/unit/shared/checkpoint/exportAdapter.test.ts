import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exportAdapter } from "../../../../shared/checkpoint/exportAdapter.ts";
import { toFlat } from "../../../../shared/checkpoint/flat.ts";
import { loadAdapter } from "../../../../shared/checkpoint/loadAdapter.ts";
import { LocalCheckpointStore } from "../../../../shared/checkpoint/localStore.ts";
import { checkpointContents } from "../../../support/checkpointContents.ts";
import { FaultyFileSystem } from "../../../support/faultyFileSystem.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "coord-adapter-"));
});
afterEach(() => rm(directory, { recursive: true }));

const { state, adapterConfig } = checkpointContents(10);

describe("exportAdapter", () => {
  it("writes an adapter that loadAdapter reads back, with the bytes of the checkpoint's own", async () => {
    const output = join(directory, "new", "output");
    await exportAdapter(output, state, adapterConfig);
    expect((await readdir(output)).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
    const { config, tensors } = await loadAdapter(output);
    expect(config).toEqual(adapterConfig);
    expect(toFlat(state.layout, tensors, output)).toEqual(state.parameters);
    const { path } = await new LocalCheckpointStore(output).save(checkpointContents(10));
    for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
      expect(await readFile(join(output, file))).toEqual(await readFile(join(path, file)));
    }
  });

  it("replaces an earlier adapter whole or not at all, at any fault, and leaves no temporary file", async () => {
    const count = new FaultyFileSystem();
    await exportAdapter(directory, state, adapterConfig, { fs: count });
    const later = checkpointContents(20).state;
    for (const [at, operation] of count.operations.entries()) {
      await exportAdapter(directory, state, adapterConfig);
      const fs = new FaultyFileSystem(at, { kind: "error", code: "ENOSPC" });
      await expect(exportAdapter(directory, later, adapterConfig, { fs }), operation).rejects.toMatchObject({
        code: "STORAGE_FAILED",
      });
      expect(fs.fired).toBe(1);
      const flat = toFlat(state.layout, (await loadAdapter(directory)).tensors, directory);
      expect([state.parameters, later.parameters], operation).toContainEqual(flat);
      expect((await readdir(directory)).length, operation).toBe(2);
    }
  });
});

describe("loadAdapter", () => {
  const refusal = () => loadAdapter(directory).catch((thrown: unknown) => thrown);

  it("refuses a directory that is none, naming what is missing", async () => {
    expect(await refusal()).toMatchObject({
      code: "ADAPTER_INVALID",
      message: expect.stringContaining("adapter_config.json cannot be read (ENOENT)"),
    });
  });

  it("refuses a pickle, saying why, and says when there are no weights at all", async () => {
    await exportAdapter(directory, state, adapterConfig);
    await rm(join(directory, "adapter_model.safetensors"));
    expect(await refusal()).toMatchObject({
      code: "ADAPTER_INVALID",
      message: expect.stringMatching(/There is no file .*adapter_model\.safetensors/),
    });
    await writeFile(join(directory, "adapter_model.bin"), "");
    expect(await refusal()).toMatchObject({
      code: "ADAPTER_INVALID",
      message: expect.stringMatching(/pickle that can run code.*safe_serialization=True/),
    });
  });

  it("refuses damaged weights and weights that are a directory", async () => {
    await exportAdapter(directory, state, adapterConfig);
    const path = join(directory, "adapter_model.safetensors");
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, -1));
    expect(await refusal()).toMatchObject({ code: "ADAPTER_INVALID", message: expect.stringContaining("truncated") });
    await rm(path);
    await mkdir(path);
    expect(await refusal()).toMatchObject({
      code: "ADAPTER_INVALID",
      message: expect.stringContaining("not a regular"),
    });
  });
});
