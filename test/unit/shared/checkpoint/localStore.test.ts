import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FileSystem, hostFileSystem } from "../../../../shared/checkpoint/fileSystem.ts";
import { LocalCheckpointStore } from "../../../../shared/checkpoint/localStore.ts";
import { checkpointContents, withChecksum } from "../../../support/checkpointContents.ts";

let root: string;
let directory: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "coord-checkpoints-"));
  directory = join(root, "output", "deep");
});
afterEach(() => rm(root, { recursive: true }));

const names = async () => (await readdir(directory)).sort();
const pathOf = (step: number, file = "") => join(directory, `checkpoint-${step}`, file);

async function editManifest(step: number, edit: (manifest: Record<string, unknown>) => void): Promise<void> {
  const manifest = JSON.parse(await readFile(pathOf(step, "manifest.json"), "utf8"));
  edit(manifest);
  await writeFile(pathOf(step, "manifest.json"), withChecksum(manifest));
}

describe("LocalCheckpointStore", () => {
  it("commits nothing for a writer that a higher generation has overtaken while it wrote", async () => {
    const newer = new LocalCheckpointStore(directory);
    let overtaken = false;
    const fs: FileSystem = {
      ...hostFileSystem,
      async createFile(path) {
        // Once the files are under way, and by itself: the newer writer cleans up what the older one has begun.
        const writer = await hostFileSystem.createFile(path);
        if (!path.endsWith("manifest.json") || overtaken) return writer;
        overtaken = true;
        const kept = `${join(path, "..")}-kept`;
        await rename(join(path, ".."), kept);
        await newer.save(checkpointContents(30, { generation: 5n }));
        await rename(kept, join(path, ".."));
        return writer;
      },
    };
    const older = new LocalCheckpointStore(directory, { fs });
    await expect(older.save(checkpointContents(20, { generation: 4n }))).rejects.toMatchObject({
      code: "STALE_GENERATION",
    });
    expect(overtaken).toBe(true);
    expect(await names()).toEqual(["checkpoint-30"]);
  });

  it("loads what it saved, bit for bit, tokenizer files included", async () => {
    const store = new LocalCheckpointStore(directory);
    const tokenizer = join(root, "tokenizer.json");
    await writeFile(join(root, "blob"), "{}");
    await symlink(join(root, "blob"), tokenizer);
    const contents = checkpointContents(20, { generation: 2n ** 64n - 1n });
    const saved = await store.save(contents, [tokenizer]);
    expect(saved).toEqual({ name: "checkpoint-20", path: pathOf(20) });
    expect(await names()).toEqual(["checkpoint-20"]);
    expect((await readdir(saved.path)).sort()).toEqual([
      "adapter_config.json",
      "adapter_model.safetensors",
      "manifest.json",
      "optimizer.safetensors",
      "tokenizer.json",
      "trainer_state.json",
    ]);
    expect(await store.load("checkpoint-20")).toEqual({ ...contents, ...saved });
    expect(await readFile(pathOf(20, "tokenizer.json"), "utf8")).toBe("{}");
  });

  it("writes the same bytes for the same state, whenever and wherever", async () => {
    const other = join(root, "other");
    await new LocalCheckpointStore(directory).save(checkpointContents(20));
    await new LocalCheckpointStore(other).save(checkpointContents(20));
    for (const file of await readdir(pathOf(20))) {
      expect(await readFile(pathOf(20, file))).toEqual(await readFile(join(other, "checkpoint-20", file)));
    }
  });

  it("does not count one that was cut off, and leaves it for a person", async () => {
    const store = new LocalCheckpointStore(directory, { saveTotalLimit: 2 });
    for (const step of [10, 20]) await store.save(checkpointContents(step));
    await truncate(pathOf(20, "optimizer.safetensors"), 100);
    await store.save(checkpointContents(30));
    expect(await names()).toEqual(["checkpoint-10", "checkpoint-20", "checkpoint-30"]);
    await store.save(checkpointContents(40));
    expect(await names()).toEqual(["checkpoint-20", "checkpoint-30", "checkpoint-40"]);
  });

  it("refuses a checkpoint renamed to another step", async () => {
    const store = new LocalCheckpointStore(directory);
    await store.save(checkpointContents(10));
    await rename(pathOf(10), pathOf(11));
    await expect(store.load("checkpoint-11")).rejects.toThrow("is of step 10, not of step 11");
  });

  type Files = { name: string; size: number; sha256: string }[];
  const firstName = (name: string) => (manifest: Record<string, unknown>) => {
    (manifest["files"] as Files).push({ ...(manifest["files"] as Files)[0]!, name });
  };
  it.each<[string, (manifest: Record<string, unknown>) => void, string]>([
    ["a newer format", (m) => Object.assign(m, { formatVersion: 3 }), "format version 3, newer than the 2"],
    ["an unknown key", (m) => Object.assign(m, { extra: 1 }), "extra"],
    ["a path upwards", firstName("../secret"), "not a plain file name"],
    ["a parent", firstName(".."), "not a plain file name"],
    ["an absolute path", firstName("/etc/passwd"), "not a plain file name"],
    ["a path downwards", firstName("a/b"), "not a plain file name"],
    ["a back-slash", firstName("a\\b"), "not a plain file name"],
    ["a name twice", firstName("adapter_config.json"), "name twice"],
    ["itself", firstName("manifest.json"), "itself"],
    ["a missing required file", (m) => (m["files"] as Files).shift(), "does not list all"],
    ["a file that is not there", firstName("vocab.json"), "vocab.json is missing"],
    ["a generation that is too large", (m) => Object.assign(m, { generation: "18446744073709551616" }), "uint64"],
    ["a fractional step", (m) => Object.assign(m, { step: 10.5 }), "step"],
  ])("refuses a manifest with %s", async (_, edit, expected) => {
    const store = new LocalCheckpointStore(directory);
    await store.save(checkpointContents(10));
    await editManifest(10, edit);
    await expect(store.load("checkpoint-10")).rejects.toMatchObject({
      code: "CHECKPOINT_INVALID",
      message: expect.stringContaining(expected),
    });
  });

  it("refuses a symbolic link, a FIFO or a directory in place of a file, without waiting for it", async () => {
    const store = new LocalCheckpointStore(directory);
    for (const file of ["manifest.json", "optimizer.safetensors"]) {
      await store.save(checkpointContents(10));
      await rename(pathOf(10, file), join(root, file));
      await symlink(join(root, file), pathOf(10, file));
      await expect(store.load("checkpoint-10")).rejects.toThrow("is a symbolic link, not a regular file");
      await rm(pathOf(10, file));
      execFileSync("mkfifo", [pathOf(10, file)]);
      await expect(store.load("checkpoint-10")).rejects.toThrow("is not a regular file");
      await rm(pathOf(10, file));
      await mkdir(pathOf(10, file));
      await expect(store.load("checkpoint-10")).rejects.toThrow("is not a regular file");
    }
  });

  it("refuses a symbolic link in place of a checkpoint", async () => {
    const store = new LocalCheckpointStore(directory);
    await store.save(checkpointContents(10));
    await rename(pathOf(10), join(root, "elsewhere"));
    await symlink(join(root, "elsewhere"), pathOf(10));
    await expect(store.load("checkpoint-10")).rejects.toThrow("is not a directory");
  });

  it("refuses an extra file that is missing or would take another's name, leaving nothing behind", async () => {
    const store = new LocalCheckpointStore(directory);
    await expect(store.save(checkpointContents(10), [join(root, "none.json")])).rejects.toThrow("Could not read");
    await writeFile(join(root, "manifest.json"), "{}");
    await expect(store.save(checkpointContents(10), [join(root, "manifest.json")])).rejects.toThrow("taken");
    expect(await readdir(root)).toEqual(["manifest.json"]);
  });

  it("refuses a log with a NaN, which JSON cannot hold, before writing anything", async () => {
    const contents = checkpointContents(10);
    const log_history = [{ loss: Number.NaN, epoch: 0, step: 1 }];
    const broken = { ...contents, trainerState: { ...contents.trainerState, log_history } };
    await expect(new LocalCheckpointStore(directory).save(broken)).rejects.toMatchObject({ code: "NOT_FINITE" });
    expect(await readdir(root)).toEqual([]);
  });
});
