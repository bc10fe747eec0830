import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBucket } from "../../shared/checkpoint/s3/bucket.ts";
import type { ObjectStorage } from "../../shared/checkpoint/s3/objectStorage.ts";
import { probeStorage } from "../../shared/checkpoint/s3/probeBucket.ts";
import { S3CheckpointStore } from "../../shared/checkpoint/s3/s3Store.ts";
import { checkpointStoreContract } from "../support/checkpointStoreContract.ts";
import { CoordHome, sha256 } from "../support/coord.ts";
import { missingCeph, type Radosgw, startRadosgw } from "../support/radosgw.ts";
import { s3Place } from "../support/s3Place.ts";
import { smallRun } from "../support/smallRun.ts";

const missing = missingCeph();
const bucket = "coord-test";

describe.skipIf(missing)(`object storage of a real server${missing ? ` (SKIPPED: no ${missing} here)` : ""}`, () => {
  let server: Radosgw;
  let storage: ObjectStorage;
  const before = { ...process.env };
  beforeAll(async () => {
    server = await startRadosgw();
    // Also for the commands that the tests run.
    Object.assign(process.env, server.environment);
    const { CreateBucketCommand, S3Client } = await import("@aws-sdk/client-s3");
    await new S3Client({ forcePathStyle: true }).send(new CreateBucketCommand({ Bucket: bucket }));
    storage = await openBucket(bucket);
  });
  afterAll(async () => {
    for (const name of Object.keys(server?.environment ?? {})) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
    await server?.stop();
  });

  it("creates an object only if it is absent, and of many writers one wins", async () => {
    await probeStorage(storage, "probe/");
    expect(await storage.list("probe/")).toEqual([]);
    const texts = Array.from({ length: 8 }, (_, writer) => new TextEncoder().encode(String(writer)));
    const won = await Promise.all(texts.map((text) => storage.putIfAbsent("race", text)));
    expect(won.filter((one) => one)).toHaveLength(1);
  });

  it("writes a large object in several parts and reads it back", async () => {
    const bytes = new Uint8Array(20 * 1024 * 1024).map((_, index) => index * 7);
    await storage.put("large", [bytes.subarray(0, 1000), bytes.subarray(1000)], bytes.byteLength);
    const parts: Uint8Array[] = [];
    for await (const piece of (await storage.get("large"))!) parts.push(piece);
    expect(Buffer.compare(Buffer.concat(parts), bytes)).toBe(0);
  });

  it("gives back what an interrupted upload holds", async () => {
    const sdk = await import("@aws-sdk/client-s3");
    const client = new sdk.S3Client({ forcePathStyle: true });
    await client.send(new sdk.CreateMultipartUploadCommand({ Bucket: bucket, Key: "cut/off" }));
    const open = async () =>
      (await client.send(new sdk.ListMultipartUploadsCommand({ Bucket: bucket, Prefix: "cut/" }))).Uploads ?? [];
    expect(await open()).toHaveLength(1);
    await storage.abandonUploads("cut/", () => true);
    expect(await open()).toEqual([]);
  });

  it("says what is wrong with a bucket, with credentials and with the network", async () => {
    await expect((await openBucket("no-such-bucket")).list("")).rejects.toThrow("there is no such bucket");
    const key = process.env["AWS_SECRET_ACCESS_KEY"]!;
    process.env["AWS_SECRET_ACCESS_KEY"] = "wrong";
    await expect((await openBucket(bucket)).list("")).rejects.toThrow(
      "AWS_SECRET_ACCESS_KEY does not belong to the access key",
    );
    process.env["AWS_SECRET_ACCESS_KEY"] = key;
    const endpoint = process.env["AWS_ENDPOINT_URL"]!;
    process.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1";
    await expect((await openBucket(bucket)).list("")).rejects.toMatchObject({
      code: "STORAGE_FAILED",
      message: expect.stringContaining("nothing listens at AWS_ENDPOINT_URL"),
    });
    process.env["AWS_ENDPOINT_URL"] = endpoint;
  });

  checkpointStoreContract("a bucket of radosgw", () => {
    const prefix = `contract/${randomUUID()}`;
    return s3Place(storage, prefix, (options) => new S3CheckpointStore(storage, prefix, options));
  });

  it("holds a run's checkpoints, results and adapter, and lets it resume to the same bytes", async () => {
    const home = await CoordHome.create();
    const succeed = async (...args: string[]) => {
      const result = await home.coord(args);
      expect(result, result.stderr + result.stdout).toMatchObject({ exitCode: 0 });
      return result.stdout;
    };
    try {
      const flags = [...(await smallRun(home)), "--max-steps", "6", "--save-steps", "2", "--eval-split", "0.2"];
      await succeed("launch", ...flags, "--output", home.path("local"));
      const url = `s3://${bucket}/runs/one`;
      await succeed("launch", ...flags, "--output", url, "--save-total-limit", "2");
      const objects = (await storage.list("runs/one/")).map(({ key }) => key.slice("runs/one/".length));
      for (const name of ["adapter_model.safetensors", "adapter_config.json", "train_results.json", "loss_curve.svg"]) {
        expect(objects).toContain(name);
      }

      const { checkpoints } = await home.json<{ checkpoints: { name: string; run: string }[] }>([
        "checkpoints",
        "list",
        url,
      ]);
      expect(checkpoints.map(({ name }) => name)).toEqual(["checkpoint-6", "checkpoint-4"]);
      expect(await succeed("checkpoints", "show", `${url}/checkpoint-4`)).toContain("checkpoint-4");
      expect(await home.json(["checkpoints", "verify", url])).toMatchObject({ valid: true });
      const same = await home.json<{ parameters?: unknown }>([
        "checkpoints",
        "diff",
        `${url}/checkpoint-6`,
        home.path("local", "checkpoint-6"),
      ]);
      expect(JSON.stringify(same)).toContain(url);

      // Back to an earlier one and forward again: the same adapter as the run that stayed on this disk.
      await succeed("resume", url, "--from", "checkpoint-4");
      await succeed("export", url, "--adapter", "--to", home.path("adapter"));
      const trained = await sha256(home.path("local", "adapter_model.safetensors"));
      expect(await sha256(home.path("adapter", "adapter_model.safetensors"))).toBe(trained);

      const refused = await home.coord(["launch", ...flags, "--output", url]);
      expect(refused.exitCode).toBe(3);
      expect(refused.stderr).toContain("cannot be used: it holds");
      await succeed("checkpoints", "prune", url, "--save-total-limit", "1");
      expect(await home.json(["checkpoints", "list", url])).toMatchObject({ checkpoints: [{ name: "checkpoint-6" }] });
      expect((await home.coord(["launch", ...flags, "--output", "s3://no-such-bucket/x"])).stderr).toContain(
        "there is no such bucket",
      );
    } finally {
      await home.remove();
    }
  });
});
