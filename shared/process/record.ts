import { mkdir, readdir, rm } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { errorCode, fileError, readJsonFile, writeFileAtomic } from "./atomicFile.ts";
import { processIdentitySchema } from "./identity.ts";

const index = z.int().nonnegative();

export const processRoles = ["coordinator", "agent", "worker"] as const;

export const processRecordSchema = z.strictObject({
  runId: z.string().min(1).max(128),
  role: z.enum(processRoles),
  nodeRank: index.optional(),
  rank: index.optional(),
  localRank: index.optional(),
  /** CUDA_VISIBLE_DEVICES of the process. */
  gpu: z.string().max(256).optional(),
  /** Ports that the process listens on. */
  ports: z.array(z.int().min(1).max(65535)).max(64).optional(),
  startedAtMs: z.number().nonnegative(),
  /** Name of the user who started the process. */
  user: z.string().max(256),
  identity: processIdentitySchema,
});

export type ProcessRole = (typeof processRoles)[number];

/** What a process of a run says of itself in `runs/<id>/processes/<role>-<pid>.json`. */
export type ProcessRecord = z.infer<typeof processRecordSchema>;

export interface ProcessRecords {
  readonly records: readonly { readonly path: string; readonly record: ProcessRecord }[];
  /** Files that are no records: damaged, or forged. */
  readonly damaged: readonly { readonly path: string; readonly reason: string }[];
}

/** Writes a record, mode 0600; returns its path. Throws STORAGE_FAILED. */
export async function writeProcessRecord(directory: string, record: ProcessRecord): Promise<string> {
  const path = join(directory, fileName(record));
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFileAtomic(path, `${JSON.stringify(processRecordSchema.parse(record))}\n`, { mode: 0o600 });
  return path;
}

/** Reads all records of a run; what is no record of this run is reported, not fatal. */
export async function readProcessRecords(directory: string, runId: string): Promise<ProcessRecords> {
  const records: { path: string; record: ProcessRecord }[] = [];
  const damaged: { path: string; reason: string }[] = [];
  for (const name of await listNames(directory)) {
    if (!name.endsWith(".json")) continue;
    const path = join(directory, name);
    try {
      const record = await readJsonFile(path, processRecordSchema);
      if (record === undefined) continue;
      if (record.runId !== runId) damaged.push({ path, reason: `It names run ${JSON.stringify(record.runId)}.` });
      else if (fileName(record) !== name) damaged.push({ path, reason: "Its name does not fit its content." });
      else records.push({ path, record });
    } catch (thrown) {
      damaged.push({ path, reason: thrown instanceof Error ? thrown.message : String(thrown) });
    }
  }
  return { records, damaged };
}

/** Removes a record; one that is gone already is no error. */
export async function removeProcessRecord(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Name of the user that this process runs as; containers may run as a number without a name. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`;
  }
}

function fileName({ role, identity }: ProcessRecord): string {
  return `${role}-${identity.pid}.json`;
}

async function listNames(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (thrown) {
    if (errorCode(thrown) === "ENOENT") return [];
    throw fileError(thrown, "read", directory);
  }
}
