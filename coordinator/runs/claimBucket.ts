import { parseS3Location } from "../../shared/checkpoint/location.ts";
import { openBucket } from "../../shared/checkpoint/s3/bucket.ts";
import { getSmall, type ObjectStorage } from "../../shared/checkpoint/s3/objectStorage.ts";
import { CoordError } from "../../shared/errors.ts";
import { claimIsAlive, claimSchema, inUse, type OutputClaim } from "./claimOutput.ts";
import { decideClaim, isTrainingResult } from "./decideClaim.ts";

/** Times that a claim which came in between is looked at again. */
const maxAttempts = 5;
const maxClaimBytes = 64 * 1024;

/** Claims `s3://bucket/prefix` for a run, as claimOutput does with a directory. */
export async function claimBucket(output: string, { home, runId }: { home: string; runId: string }): Promise<void> {
  const { key, prefix, storage } = await placeOf(output);
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const before = await readClaim(storage, key);
    const { decision, reason } = decideClaim(runId, {
      claim: before && { runId: before.runId, goesOn: await claimIsAlive(before) },
      results: await resultsIn(storage, prefix),
    });
    if (decision === "refuse") throw inUse(output, reason, before?.runId);
    if (before?.runId === runId) return;
    if (before) await storage.remove([key]);
    const claim = { runId, home, claimedAtMs: Date.now() } satisfies OutputClaim;
    if (await storage.putIfAbsent(key, new TextEncoder().encode(`${JSON.stringify(claim)}\n`))) return;
  }
  throw inUse(output, "other runs keep claiming it", undefined);
}

/** Gives `s3://bucket/prefix` back that a run claimed and left nothing in. */
export async function releaseBucket(output: string, { runId }: { runId: string }): Promise<void> {
  const { key, prefix, storage } = await placeOf(output);
  if ((await resultsIn(storage, prefix)).length > 0) return;
  if ((await readClaim(storage, key))?.runId === runId) await storage.remove([key]);
}

async function placeOf(output: string) {
  const { bucket, prefix } = parseS3Location(output);
  const start = prefix === "" ? "" : `${prefix}/`;
  return { storage: await openBucket(bucket), prefix: start, key: `${start}.coord-run.json` };
}

async function resultsIn(storage: ObjectStorage, prefix: string): Promise<string[]> {
  const names = (await storage.list(prefix)).map(({ key }) => key.slice(prefix.length).split("/")[0]!);
  return [...new Set(names)].filter(isTrainingResult).sort();
}

async function readClaim(storage: ObjectStorage, key: string): Promise<OutputClaim | undefined> {
  const bytes = await getSmall(storage, key, maxClaimBytes);
  if (!bytes) return undefined;
  try {
    return claimSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new CoordError("STORAGE_FAILED", `${storage.url(key)} is damaged or of another version; remove it.`, {
      cause,
    });
  }
}
