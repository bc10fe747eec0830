import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { CheckpointStore, StoreOptions } from "../../shared/checkpoint/store.ts";
import { checkpointContents } from "./checkpointContents.ts";
import { temporaryDirectory } from "./temporaryDirectory.ts";

/** One place for checkpoints, empty at first. */
export interface StorePlace {
  open(options?: StoreOptions): CheckpointStore;
  /** Replaces a file of a checkpoint by what `edit` makes of its bytes; undefined removes it. */
  change(name: string, file: string, edit: (bytes: Uint8Array) => Uint8Array | undefined): Promise<void>;
  /** Names of what a save leaves beside committed checkpoints: nothing, but for what was moved aside. */
  leftovers(): Promise<string[]>;
}

const names = async (store: CheckpointStore) => (await store.list()).map(({ name }) => name);
const cut = (bytes: Uint8Array) => bytes.subarray(0, 100);

/** What every CheckpointStore promises. */
export function checkpointStoreContract(what: string, newPlace: () => Promise<StorePlace> | StorePlace): void {
  describe(`${what} as a CheckpointStore`, () => {
    it("loads what it saved, bit for bit, tokenizer files included", async () => {
      const place = await newPlace();
      const tokenizer = join(temporaryDirectory(), "tokenizer.json");
      await writeFile(tokenizer, '{"a": "中"}');
      const contents = checkpointContents(20, { generation: 2n ** 64n - 1n });
      const store = place.open();
      const saved = await store.save(contents, [tokenizer]);
      expect(saved).toEqual({ name: "checkpoint-20", path: `${store.location}/checkpoint-20` });
      expect(await place.open().load("checkpoint-20")).toEqual({ ...contents, ...saved });
      const { files } = await store.verify("checkpoint-20");
      expect(files.map(({ name }) => name)).toContain("tokenizer.json");
      expect(await place.leftovers()).toEqual([]);
    });

    it("finds nothing where nothing is", async () => {
      const store = (await newPlace()).open();
      expect(await store.list()).toEqual([]);
      expect(await store.newestValid()).toBeUndefined();
    });

    it("lists the newest first, by generation and then by step, with the time of saving", async () => {
      const store = (await newPlace()).open();
      for (const [step, generation] of [
        [10, 1n],
        [20, 1n],
        [30, 1n],
        [15, 2n],
      ] as const) {
        await store.save(checkpointContents(step, { generation }));
      }
      expect(await names(store)).toEqual(["checkpoint-15", "checkpoint-30", "checkpoint-20", "checkpoint-10"]);
      expect((await store.newestValid())?.checkpoint.name).toBe("checkpoint-15");
      for (const entry of await store.list()) expect(entry.state === "readable" && entry.savedAtMs).toBeGreaterThan(0);
    });

    it("keeps as many as the limit says, all for 0, and milestones beyond it", async () => {
      const place = await newPlace();
      const all = place.open();
      for (const step of [5, 10, 15]) await all.save(checkpointContents(step));
      expect(await names(all)).toHaveLength(3);
      const two = place.open({ saveTotalLimit: 2, saveMilestoneSteps: 10 });
      await two.save(checkpointContents(101));
      expect(await names(two)).toEqual(["checkpoint-101", "checkpoint-15", "checkpoint-10"]);
      await place.open({ saveTotalLimit: 1 }).save(checkpointContents(105));
      expect(await names(two)).toEqual(["checkpoint-105"]);
      expect(await place.leftovers()).toEqual([]);
    });

    it("never removes damaged checkpoints and does not count them", async () => {
      const place = await newPlace();
      const store = place.open({ saveTotalLimit: 2 });
      for (const step of [10, 20]) await store.save(checkpointContents(step));
      await place.change("checkpoint-20", "optimizer.safetensors", cut);
      await store.save(checkpointContents(30));
      expect(await names(store)).toEqual(["checkpoint-30", "checkpoint-20", "checkpoint-10"]);
    });

    it("passes over damaged checkpoints and says why", async () => {
      const place = await newPlace();
      const store = place.open();
      for (const step of [10, 20, 30]) await store.save(checkpointContents(step));
      await place.change("checkpoint-30", "manifest.json", () => undefined);
      await place.change("checkpoint-20", "optimizer.safetensors", cut);
      const found = await store.newestValid();
      expect(found?.checkpoint.name).toBe("checkpoint-10");
      expect(found?.passedOver).toEqual([
        { name: "checkpoint-30", reason: expect.stringMatching(/manifest\.json is missing\.$/) },
        {
          name: "checkpoint-20",
          reason: expect.stringMatching(/optimizer\.safetensors is truncated: expected \d+ bytes, .* has 100\.$/),
        },
      ]);
      for (const { reason } of found!.passedOver) expect(reason).toContain(store.location);
    });

    it("moves damaged checkpoints out of the listing when told to, and removes nothing of them", async () => {
      const place = await newPlace();
      const store = place.open({ saveTotalLimit: 1 });
      for (const step of [10, 20]) await place.open().save(checkpointContents(step));
      await place.change("checkpoint-20", "optimizer.safetensors", cut);
      const [moved] = await store.putAside(["checkpoint-20"]);
      expect(moved).toEqual({ name: "checkpoint-20", path: expect.stringContaining(".invalid-") });
      expect(await names(store)).toEqual(["checkpoint-10"]);
      expect(await store.newestValid()).toMatchObject({ checkpoint: { name: "checkpoint-10" }, passedOver: [] });
      // Whatever is saved later, it stays.
      await store.save(checkpointContents(20));
      await store.save(checkpointContents(30));
      expect(await names(store)).toEqual(["checkpoint-30"]);
      expect(await place.leftovers()).toEqual([expect.stringContaining(".invalid-")]);
      await expect(store.putAside(["checkpoint-99"])).rejects.toMatchObject({ code: "CHECKPOINT_INVALID" });
    });

    it("refuses to start again silently when none of the checkpoints is valid", async () => {
      const place = await newPlace();
      const store = place.open();
      for (const step of [10, 20]) await store.save(checkpointContents(step));
      await place.change("checkpoint-10", "manifest.json", () => undefined);
      await place.change("checkpoint-20", "adapter_config.json", () => new Uint8Array());
      await expect(store.newestValid()).rejects.toMatchObject({
        code: "CHECKPOINT_INVALID",
        message: expect.stringMatching(
          /None of the checkpoints.*checkpoint-10: .*missing.*checkpoint-20: .*truncated/s,
        ),
      });
    });

    it("refuses a name that is not there, naming those that are", async () => {
      const store = (await newPlace()).open();
      await store.save(checkpointContents(10));
      for (const name of ["checkpoint-11", "../../checkpoint-10", "checkpoint-010", "/etc", ""]) {
        await expect(store.load(name)).rejects.toMatchObject({
          code: "CHECKPOINT_INVALID",
          message: expect.stringContaining("checkpoints there: checkpoint-10"),
        });
      }
    });

    it("notices a changed byte in any file, the manifest included", async () => {
      const place = await newPlace();
      const store = place.open();
      await store.save(checkpointContents(10));
      const { files } = await store.verify("checkpoint-10");
      for (const file of ["manifest.json", ...files.map(({ name }) => name)]) {
        for (const part of [0, 0.3, 0.6, 0.999]) {
          const flip = (bytes: Uint8Array) => {
            const flipped = Uint8Array.from(bytes);
            flipped[Math.floor(part * bytes.byteLength)]! ^= 1;
            return flipped;
          };
          await place.change("checkpoint-10", file, flip);
          await expect(store.verify("checkpoint-10"), `${file} ${part}`).rejects.toMatchObject({
            code: "CHECKPOINT_INVALID",
          });
          await place.change("checkpoint-10", file, flip);
        }
      }
      expect((await store.load("checkpoint-10")).state.step).toBe(10);
    });

    it("refuses a newer format by name instead of passing over it to an older checkpoint", async () => {
      const place = await newPlace();
      const store = place.open();
      for (const step of [5, 10]) await store.save(checkpointContents(step));
      await place.change("checkpoint-10", "manifest.json", (bytes) =>
        new TextEncoder().encode(new TextDecoder().decode(bytes).replace('"formatVersion": 2', '"formatVersion": 3')),
      );
      await expect(store.newestValid()).rejects.toThrow("has format version 3, newer than the 2 that this coord reads");
    });

    it("moves a damaged checkpoint of the same step aside instead of removing it", async () => {
      const place = await newPlace();
      const store = place.open();
      await store.save(checkpointContents(10));
      await place.change("checkpoint-10", "optimizer.safetensors", cut);
      await store.save(checkpointContents(10));
      expect((await store.newestValid())?.checkpoint.name).toBe("checkpoint-10");
      expect(await place.leftovers()).toEqual([expect.stringContaining(".invalid-")]);
    });

    it("replaces a valid checkpoint of the same step only by one of a higher generation", async () => {
      const place = await newPlace();
      const store = place.open();
      await store.save(checkpointContents(10, { generation: 5n }));
      const later = checkpointContents(10, { generation: 6n, salt: 1 });
      await store.save(later);
      expect((await store.load("checkpoint-10")).state).toEqual(later.state);
      expect(await place.leftovers()).toEqual([]);
      // The same again is a harmless repeat; other bytes in the same generation are not.
      await store.save(later);
      const other = checkpointContents(10, { generation: 6n });
      await expect(store.save(other)).rejects.toMatchObject({ code: "DIVERGED" });
      expect((await store.load("checkpoint-10")).state).toEqual(later.state);
    });

    it("writes nothing for a coordinator whose generation is over", async () => {
      const store = (await newPlace()).open({ saveTotalLimit: 1 });
      await store.save(checkpointContents(10, { generation: 5n }));
      await expect(store.save(checkpointContents(20, { generation: 4n }))).rejects.toMatchObject({
        code: "STALE_GENERATION",
        message: expect.stringContaining("generation 5"),
      });
      expect(await names(store)).toEqual(["checkpoint-10"]);
    });

    it("touches nothing where another run's checkpoints are", async () => {
      const store = (await newPlace()).open({ saveTotalLimit: 1 });
      await store.save(checkpointContents(10));
      await expect(store.save(checkpointContents(20, { runId: "another" }))).rejects.toMatchObject({
        code: "OUTPUT_IN_USE",
        message: expect.stringContaining("20261120-2154-k3f9"),
      });
      expect(await names(store)).toEqual(["checkpoint-10"]);
    });

    it("saves one after the other when asked for two at once", async () => {
      const store = (await newPlace()).open({ saveTotalLimit: 1 });
      await Promise.all([store.save(checkpointContents(10)), store.save(checkpointContents(20))]);
      expect(await names(store)).toEqual(["checkpoint-20"]);
    });

    it("removes what it is told to, and nothing else", async () => {
      const place = await newPlace();
      const store = place.open();
      for (const step of [10, 20, 30]) await store.save(checkpointContents(step));
      expect(await store.remove(["checkpoint-10", "checkpoint-30"])).toEqual(["checkpoint-10", "checkpoint-30"]);
      expect(await names(store)).toEqual(["checkpoint-20"]);
      expect((await store.newestValid())?.checkpoint.name).toBe("checkpoint-20");
      expect(await place.leftovers()).toEqual([]);
    });
  });
}
