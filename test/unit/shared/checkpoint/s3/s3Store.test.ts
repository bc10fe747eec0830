import { describe, expect, it } from "vitest";
import { S3CheckpointStore } from "../../../../../shared/checkpoint/s3/s3Store.ts";
import { checkpointContents } from "../../../../support/checkpointContents.ts";
import { MemoryBucket, MemoryObjects } from "../../../../support/memoryObjects.ts";

const prefix = "runs/one";

describe("S3CheckpointStore beside another writer", () => {
  it("takes the commit that another writer of the same state was quicker with", async () => {
    const bucket = new MemoryBucket();
    const slow = new MemoryObjects(bucket);
    const put = slow.put.bind(slow);
    let overtaken = false;
    slow.put = async (key, pieces, size) => {
      if (key.endsWith("manifest.json") && !overtaken) {
        overtaken = true;
        await new S3CheckpointStore(new MemoryObjects(bucket), prefix).save(checkpointContents(10));
      }
      await put(key, pieces, size);
    };
    await new S3CheckpointStore(slow, prefix).save(checkpointContents(10));
    expect(overtaken).toBe(true);
    expect(await new S3CheckpointStore(slow, prefix).list()).toHaveLength(1);
  });

  it.each([
    ["of the same generation with another state", checkpointContents(10, { salt: 1 }), "DIVERGED"],
    ["of a later generation", checkpointContents(10, { generation: 2n }), "STALE_GENERATION"],
  ])("is refused when one %s comes in between, which stays whole", async (_, other, code) => {
    const bucket = new MemoryBucket();
    const slow = new MemoryObjects(bucket);
    const put = slow.put.bind(slow);
    slow.put = async (key, pieces, size) => {
      if (key.endsWith("manifest.json")) await new S3CheckpointStore(new MemoryObjects(bucket), prefix).save(other);
      await put(key, pieces, size);
    };
    const save = new S3CheckpointStore(slow, prefix).save(checkpointContents(10));
    await expect(save).rejects.toMatchObject({ code });
    const store = new S3CheckpointStore(new MemoryObjects(bucket), prefix);
    expect((await store.newestValid())?.checkpoint.state).toEqual(other.state);
  });
});
