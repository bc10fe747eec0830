import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LocalCheckpointStore } from "../../../../shared/checkpoint/localStore.ts";
import { checkpointContents } from "../../../support/checkpointContents.ts";

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
  await writeFile(pathOf(step, "manifest.json"), JSON.stringify(manifest));
}

describe("LocalCheckpointStore", () => {
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

  it("finds nothing in a directory that does not exist or has no checkpoints", async () => {
    expect(await new LocalCheckpointStore(directory).newestValid()).toBeUndefined();
    await mkdir(join(directory, "checkpoint-best"), { recursive: true });
    expect(await new LocalCheckpointStore(directory).newestValid()).toBeUndefined();
  });

  it("keeps as many as --save-total-limit says, and all for 0", async () => {
    const all = new LocalCheckpointStore(directory);
    for (const step of [5, 10, 15]) await all.save(checkpointContents(step));
    expect(await names()).toEqual(["checkpoint-10", "checkpoint-15", "checkpoint-5"]);
    const two = new LocalCheckpointStore(directory, { saveTotalLimit: 2 });
    await two.save(checkpointContents(100));
    expect(await names()).toEqual(["checkpoint-100", "checkpoint-15"]);
    const one = new LocalCheckpointStore(directory, { saveTotalLimit: 1 });
    await one.save(checkpointContents(105));
    expect(await names()).toEqual(["checkpoint-105"]);
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

  it("keeps the checkpoint just saved when the run went back, and takes it as the newest", async () => {
    const before = new LocalCheckpointStore(directory);
    for (const step of [10, 20, 30]) await before.save(checkpointContents(step, { generation: 1n }));
    const after = new LocalCheckpointStore(directory, { saveTotalLimit: 2 });
    await after.save(checkpointContents(15, { generation: 2n }));
    expect(await names()).toEqual(["checkpoint-15", "checkpoint-30"]);
    expect((await after.newestValid())?.checkpoint.name).toBe("checkpoint-15");
  });

  it("never removes damaged checkpoints and does not count them", async () => {
    const store = new LocalCheckpointStore(directory, { saveTotalLimit: 2 });
    await store.save(checkpointContents(10));
    await store.save(checkpointContents(20));
    await rm(pathOf(20, "manifest.json"));
    await store.save(checkpointContents(30));
    expect(await names()).toEqual(["checkpoint-10", "checkpoint-20", "checkpoint-30"]);
  });

  it("passes over damaged checkpoints and says why", async () => {
    const store = new LocalCheckpointStore(directory);
    for (const step of [10, 20, 30]) await store.save(checkpointContents(step));
    await rm(pathOf(30, "manifest.json"));
    await truncate(pathOf(20, "optimizer.safetensors"), 100);
    const found = await store.newestValid();
    expect(found?.checkpoint.name).toBe("checkpoint-10");
    expect(found?.passedOver).toEqual([
      { name: "checkpoint-30", reason: `${pathOf(30, "manifest.json")} is missing.` },
      {
        name: "checkpoint-20",
        reason: expect.stringMatching(/optimizer\.safetensors is truncated: expected \d+ bytes, file has 100\.$/),
      },
    ]);
  });

  it("refuses to start again silently when none of the checkpoints is valid", async () => {
    const store = new LocalCheckpointStore(directory);
    for (const step of [10, 20]) await store.save(checkpointContents(step));
    await rm(pathOf(10, "manifest.json"));
    await writeFile(pathOf(20, "adapter_config.json"), "{}");
    await expect(store.newestValid()).rejects.toMatchObject({
      code: "CHECKPOINT_INVALID",
      message: expect.stringMatching(/None of the checkpoints.*checkpoint-10: .*missing.*checkpoint-20: .*truncated/s),
    });
  });

  it("refuses a name that is not in the directory, naming those that are", async () => {
    const store = new LocalCheckpointStore(directory);
    await store.save(checkpointContents(10));
    await cp(pathOf(10), join(root, "checkpoint-10"), { recursive: true });
    for (const name of ["checkpoint-11", "../../checkpoint-10", "checkpoint-010", "/etc", ""]) {
      await expect(store.load(name)).rejects.toMatchObject({
        code: "CHECKPOINT_INVALID",
        message: expect.stringContaining("checkpoints there: checkpoint-10"),
      });
    }
  });

  it("refuses a checkpoint renamed to another step", async () => {
    const store = new LocalCheckpointStore(directory);
    await store.save(checkpointContents(10));
    await rename(pathOf(10), pathOf(11));
    await expect(store.load("checkpoint-11")).rejects.toThrow("is of step 10, not of step 11");
  });

  it("notices any flipped byte and any cut of any file", async () => {
    const store = new LocalCheckpointStore(directory);
    await store.save(checkpointContents(10));
    for (const file of await readdir(pathOf(10))) {
      const original = await readFile(pathOf(10, file));
      for (let at = 0; at < original.length; at += 29) {
        const flipped = Buffer.from(original);
        flipped[at]! ^= 1;
        for (const bytes of [flipped, original.subarray(0, at)]) {
          await writeFile(pathOf(10, file), bytes);
          const loaded = await store.load("checkpoint-10").catch((thrown: unknown) => thrown);
          // The manifest vouches for the others, not for itself: a flip there may only change what it merely reports.
          if (file === "manifest.json" && !(loaded instanceof Error)) continue;
          expect(loaded).toMatchObject({ code: "CHECKPOINT_INVALID" });
        }
      }
      await writeFile(pathOf(10, file), original);
    }
    expect((await store.load("checkpoint-10")).state.step).toBe(10);
  }, 60_000);

  type Files = { name: string; size: number; sha256: string }[];
  const firstName = (name: string) => (manifest: Record<string, unknown>) => {
    (manifest["files"] as Files).push({ ...(manifest["files"] as Files)[0]!, name });
  };
  it.each<[string, (manifest: Record<string, unknown>) => void, string]>([
    ["a newer format", (m) => Object.assign(m, { formatVersion: 2 }), "format version 2, newer than the 1"],
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

  it("moves a damaged checkpoint of the same step aside instead of removing it", async () => {
    const store = new LocalCheckpointStore(directory);
    await store.save(checkpointContents(10));
    await truncate(pathOf(10, "optimizer.safetensors"), 8);
    await store.save(checkpointContents(10));
    expect((await store.newestValid())?.checkpoint.name).toBe("checkpoint-10");
    expect(await names()).toEqual(["checkpoint-10", expect.stringMatching(/^checkpoint-10\.invalid-[0-9a-f]{8}$/)]);
  });

  it("replaces a valid checkpoint of the same step only by one of a higher generation", async () => {
    const store = new LocalCheckpointStore(directory);
    await store.save(checkpointContents(10, { generation: 5n }));
    const later = checkpointContents(10, { generation: 6n, salt: 1 });
    await store.save(later);
    expect((await store.load("checkpoint-10")).state).toEqual(later.state);
    expect(await names()).toEqual(["checkpoint-10"]);
    // The same again is a harmless repeat; other bytes in the same generation are not.
    await store.save(later);
    await expect(store.save(checkpointContents(10, { generation: 6n }))).rejects.toMatchObject({ code: "DIVERGED" });
    expect((await store.load("checkpoint-10")).state).toEqual(later.state);
  });

  it("writes nothing for a coordinator whose generation is over", async () => {
    const store = new LocalCheckpointStore(directory, { saveTotalLimit: 1 });
    await store.save(checkpointContents(10, { generation: 5n }));
    await expect(store.save(checkpointContents(20, { generation: 4n }))).rejects.toMatchObject({
      code: "STALE_GENERATION",
      message: expect.stringContaining("generation 5"),
    });
    expect(await names()).toEqual(["checkpoint-10"]);
  });

  it("touches nothing in a directory that holds another run's checkpoints", async () => {
    const store = new LocalCheckpointStore(directory, { saveTotalLimit: 1 });
    await store.save(checkpointContents(10));
    await expect(store.save(checkpointContents(20, { runId: "another" }))).rejects.toMatchObject({
      code: "OUTPUT_IN_USE",
      message: expect.stringContaining("20261120-2154-k3f9"),
    });
    expect(await names()).toEqual(["checkpoint-10"]);
  });

  it("saves one after the other when asked for two at once", async () => {
    const store = new LocalCheckpointStore(directory, { saveTotalLimit: 1 });
    await Promise.all([store.save(checkpointContents(10)), store.save(checkpointContents(20))]);
    expect(await names()).toEqual(["checkpoint-20"]);
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
