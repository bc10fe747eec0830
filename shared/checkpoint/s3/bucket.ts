import type { _Object, S3Client } from "@aws-sdk/client-s3";
import type { ObjectEntry, ObjectStorage } from "./objectStorage.ts";
import { s3Error } from "./s3Error.ts";

/** S3's smallest part but one; below this an object goes in one request. */
const partBytes = 8 * 1024 * 1024;
/** S3's limits. */
const maxParts = 10_000;
const keysPerRemoval = 1000;

/**
 * A bucket of Amazon S3 or of a server that speaks its protocol. Endpoint, region and credentials come from the usual
 * AWS variables and files (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_PROFILE …). Nothing is asked yet.
 */
export async function openBucket(
  bucket: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<ObjectStorage> {
  // What Node versions its later releases want is no news for our users. biome-ignore lint: the SDK reads it here only.
  process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
  // Loaded here: start-up, agents and workers do without.
  const [sdk, { Upload }] = await Promise.all([import("@aws-sdk/client-s3"), import("@aws-sdk/lib-storage")]);
  const endpoint = environment["AWS_ENDPOINT_URL_S3"] || environment["AWS_ENDPOINT_URL"];
  const region = environment["AWS_REGION"] || environment["AWS_DEFAULT_REGION"] || (endpoint ? "us-east-1" : undefined);
  const client: S3Client = new sdk.S3Client({
    ...(region ? { region } : {}),
    // Servers on one host have no names for buckets.
    ...(endpoint ? { endpoint, forcePathStyle: true } : {}),
    // Many servers refuse the checksums that newer SDKs add by themselves; our own SHA-256 is checked on every read.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout: 10_000, socketTimeout: 60_000 },
  });
  const url = (key: string) => (key === "" ? `s3://${bucket}` : `s3://${bucket}/${key}`);
  const asking = async <Result>(doing: string, key: string, bytes: number | undefined, ask: () => Promise<Result>) => {
    try {
      return await ask();
    } catch (thrown) {
      throw s3Error(thrown, doing, url(key), bytes);
    }
  };

  const list = async (prefix: string): Promise<ObjectEntry[]> => {
    const found: ObjectEntry[] = [];
    for (let token: string | undefined; ; ) {
      const page = await client.send(
        new sdk.ListObjectsV2Command({
          Bucket: bucket,
          Prefix: prefix,
          ...(token ? { ContinuationToken: token } : {}),
        }),
      );
      found.push(...(page.Contents ?? []).map(entryOf));
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
      if (token === undefined) return found;
    }
  };

  return {
    url,
    list: (prefix) => asking("list", prefix, undefined, () => list(prefix)),
    async put(key, pieces, size) {
      await asking("write", key, size, async () => {
        if (size <= partBytes) {
          await client.send(new sdk.PutObjectCommand({ Bucket: bucket, Key: key, Body: Buffer.concat([...pieces]) }));
          return;
        }
        const { Readable } = await import("node:stream");
        const partSize = Math.max(partBytes, Math.ceil(size / (maxParts - 1)));
        const params = { Bucket: bucket, Key: key, Body: Readable.from(pieces) };
        await new Upload({ client, params, partSize, queueSize: 4 }).done();
      });
    },
    putIfAbsent: (key, bytes) =>
      asking("write", key, bytes.byteLength, async () => {
        try {
          await client.send(new sdk.PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes, IfNoneMatch: "*" }));
          return true;
        } catch (thrown) {
          // 409 is S3's answer to two that write at the same moment.
          const status = thrown instanceof sdk.S3ServiceException ? thrown.$metadata.httpStatusCode : undefined;
          if (status === 412 || status === 409) return false;
          throw thrown;
        }
      }),
    get: (key) =>
      asking("read", key, undefined, async () => {
        try {
          const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket: bucket, Key: key }));
          return reading(Body as AsyncIterable<Uint8Array>, (thrown) => s3Error(thrown, "read", url(key)));
        } catch (thrown) {
          if (thrown instanceof sdk.NoSuchKey) return undefined;
          throw thrown;
        }
      }),
    async remove(keys) {
      for (let at = 0; at < keys.length; at += keysPerRemoval) {
        const some = keys.slice(at, at + keysPerRemoval);
        await asking("remove", some[0]!, undefined, async () => {
          const Delete = { Quiet: true, Objects: some.map((Key) => ({ Key })) };
          const { Errors } = await client.send(new sdk.DeleteObjectsCommand({ Bucket: bucket, Delete }));
          if (Errors?.[0]) throw Object.assign(new Error(Errors[0].Message), { name: Errors[0].Code ?? "Unknown" });
        });
      }
    },
    async abandonUploads(prefix, which) {
      await asking("look for interrupted uploads to", prefix, undefined, async () => {
        const { Uploads } = await client.send(new sdk.ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }));
        for (const { Key, UploadId } of Uploads ?? []) {
          if (Key === undefined || UploadId === undefined || !which(Key)) continue;
          await client.send(new sdk.AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
        }
      });
    },
  };
}

function entryOf({ Key, LastModified, Size }: _Object): ObjectEntry {
  return { key: Key ?? "", size: Size ?? 0, modifiedMs: LastModified?.getTime() ?? 0 };
}

/** A connection may be lost in the middle of an object. */
async function* reading(body: AsyncIterable<Uint8Array>, failure: (thrown: unknown) => Error) {
  try {
    yield* body;
  } catch (thrown) {
    throw failure(thrown);
  }
}
