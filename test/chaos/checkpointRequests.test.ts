import { describe, expect, it } from "vitest";
import { S3CheckpointStore } from "../../shared/checkpoint/s3/s3Store.ts";
import type { CheckpointContents } from "../../shared/checkpoint/types.ts";
import { checkpointContents } from "../support/checkpointContents.ts";
import { MemoryBucket, MemoryObjects, type RequestFault } from "../support/memoryObjects.ts";
import { s3Place } from "../support/s3Place.ts";

const prefix = "runs/one";

/** A save of `next` where `before` is. */
interface Scenario {
  readonly before: readonly CheckpointContents[];
  readonly next: CheckpointContents;
  readonly saveTotalLimit: number;
  /** Makes a file of the newest checkpoint wrong first. */
  readonly damage?: boolean;
}

const scenarios: Record<string, Scenario> = {
  "a first save": { before: [], next: checkpointContents(10), saveTotalLimit: 0 },
  "a save with retention": {
    before: [checkpointContents(10), checkpointContents(20)],
    next: checkpointContents(30),
    saveTotalLimit: 1,
  },
  "a replacement": {
    before: [checkpointContents(5, { generation: 1n }), checkpointContents(10, { generation: 1n })],
    next: checkpointContents(10, { generation: 2n, salt: 1 }),
    saveTotalLimit: 2,
  },
  "a save in place of a damaged one": {
    before: [checkpointContents(5), checkpointContents(10)],
    next: checkpointContents(10),
    saveTotalLimit: 0,
    damage: true,
  },
};

async function prepare({ before, damage }: Scenario): Promise<MemoryBucket> {
  const bucket = new MemoryBucket();
  const store = new S3CheckpointStore(new MemoryObjects(bucket), prefix);
  for (const contents of before) await store.save(contents);
  const broken = [...bucket.objects].findLast(([key]) => key.endsWith("optimizer.safetensors"));
  if (damage) broken![1].bytes = broken![1].bytes.subarray(1);
  return bucket;
}

const valid = async (bucket: MemoryBucket) => {
  const store = new S3CheckpointStore(new MemoryObjects(bucket), prefix);
  const names = (await store.list()).map(({ name }) => name);
  const loaded = await Promise.all(names.map((name) => store.load(name).catch(() => undefined)));
  return loaded.filter((checkpoint) => checkpoint !== undefined);
};

describe.each(Object.entries(scenarios))("S3CheckpointStore, %s", (_, scenario) => {
  const faults: RequestFault[] = ["requestLost", "replyLost", "diedBefore", "diedAfter"];
  it.each(faults)("loses nothing when, at any request, this happens: %s", async (fault) => {
    const counted = new MemoryObjects(await prepare(scenario));
    await new S3CheckpointStore(counted, prefix, scenario).save(scenario.next);
    expect(counted.requests.length).toBeGreaterThan(10);
    for (const [at, request] of counted.requests.entries()) {
      const bucket = await prepare(scenario);
      const countBefore = (await valid(bucket)).length;
      const storage = new MemoryObjects(bucket, at, fault);
      const outcome = await new S3CheckpointStore(storage, prefix, scenario)
        .save(scenario.next)
        .catch((thrown: unknown) => thrown);
      expect(storage.fired, request).toBe(1);
      const acknowledged = !(outcome instanceof Error);

      const left = await valid(bucket);
      const earlier = scenario.damage ? scenario.before.slice(0, -1) : scenario.before;
      const allowed = acknowledged ? [scenario.next] : [scenario.next, earlier.at(-1)];
      const store = new S3CheckpointStore(new MemoryObjects(bucket), prefix);
      const newest = await store.newestValid().catch(() => undefined);
      expect(
        allowed.map((contents) => contents?.state),
        `${at} ${request}`,
      ).toContainEqual(newest?.checkpoint.state);
      const limit = scenario.saveTotalLimit || Number.POSITIVE_INFINITY;
      expect(left.length, `${at} ${request}`).toBeGreaterThanOrEqual(Math.min(countBefore, limit));

      // The next save, of another process, finds its way and leaves nothing of the failed one behind.
      await new S3CheckpointStore(new MemoryObjects(bucket), prefix, scenario).save(scenario.next);
      expect((await store.newestValid())?.checkpoint.state).toEqual(scenario.next.state);
      await new S3CheckpointStore(new MemoryObjects(bucket), prefix, scenario).save(
        checkpointContents(99, scenario.next),
      );
      expect(bucket.uploads, `${at} ${request}`).toEqual([]);
      const place = s3Place(new MemoryObjects(bucket), prefix, () => store);
      const extra = (await place.leftovers()).filter((name) => !name.includes(".invalid-"));
      expect(extra, `${at} ${request}`).toEqual([]);
    }
  });
});
