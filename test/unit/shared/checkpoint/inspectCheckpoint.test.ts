import { createHash } from "node:crypto";
import { readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inspectCheckpoint } from "../../../../shared/checkpoint/inspectCheckpoint.ts";
import { LocalCheckpointStore } from "../../../../shared/checkpoint/localStore.ts";
import { checkpointContents, withChecksum } from "../../../support/checkpointContents.ts";
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts";

const saved = async () => (await new LocalCheckpointStore(temporaryDirectory()).save(checkpointContents(10))).path;

describe("inspectCheckpoint", () => {
  it("goes on after the first file that is wrong", async () => {
    const path = await saved();
    expect(await inspectCheckpoint(path, 10)).toMatchObject({ valid: true, problem: null });
    const adapter = await readFile(join(path, "adapter_model.safetensors"));
    adapter[adapter.length - 1]! ^= 1;
    await writeFile(join(path, "adapter_model.safetensors"), adapter);
    await rm(join(path, "adapter_config.json"));
    await symlink("/etc/hostname", join(path, "adapter_config.json"));
    await writeFile(join(path, "notes"), "");
    const { files, valid } = await inspectCheckpoint(path, 10);
    expect(valid).toBe(false);
    expect(files.map(({ name, problem, state }) => [name, state, problem?.replace(path, "…") ?? null])).toEqual([
      ["adapter_config.json", "wrong", "…/adapter_config.json is a symbolic link, not a regular file."],
      [
        "adapter_model.safetensors",
        "wrong",
        "…/adapter_model.safetensors is damaged: its SHA-256 is not the manifest's.",
      ],
      ["optimizer.safetensors", "ok", null],
      ["trainer_state.json", "ok", null],
      ["notes", "extra", null],
    ]);
  });

  it("finds contents that do not belong together though every hash is right", async () => {
    const path = await saved();
    const text = (await readFile(join(path, "trainer_state.json"), "utf8")).replace(
      '"global_step": 10',
      '"global_step": 11',
    );
    await writeFile(join(path, "trainer_state.json"), text);
    const manifest = JSON.parse(await readFile(join(path, "manifest.json"), "utf8"));
    const facts = manifest.files.find(({ name }: { name: string }) => name === "trainer_state.json");
    facts.sha256 = createHash("sha256").update(text).digest("hex");
    await writeFile(join(path, "manifest.json"), withChecksum(manifest));
    const { problem, valid } = await inspectCheckpoint(path, 10);
    expect(valid).toBe(false);
    expect(problem).toContain("is of step 11, not of step 10");
  });

  it("says what is wrong with the manifest", async () => {
    const path = await saved();
    await rm(join(path, "manifest.json"));
    const finding = await inspectCheckpoint(path, 10);
    expect(finding).toMatchObject({ valid: false, files: [] });
    expect(finding.problem).toMatch(/manifest\.json is missing\.$/);
  });
});
