import { createHash } from "node:crypto";
import { z } from "zod";
import { CoordError } from "../errors.ts";
import { parseStrictJson } from "../tensors/strictJson.ts";
import { checkpointFiles, manifestFile } from "./types.ts";

/** Grows when an older coord could not read a checkpoint any more. Version 2 has a checksum of the manifest itself. */
const formatVersion = 2;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "is not a SHA-256 in hexadecimal");

/** One plain name: no separator, no leading dot, so nothing outside the checkpoint's own directory. */
const fileName = z
  .string()
  .max(255)
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/, "is not a plain file name");

const firstSchema = z.strictObject({
  formatVersion: z.literal(1),
  runId: z.string().min(1).max(200),
  /** uint64 in decimal: JSON's numbers end at 2^53. */
  generation: z
    .string()
    .regex(/^(0|[1-9]\d{0,19})$/, "is not a uint64 in decimal")
    .transform(BigInt)
    .refine((value) => value < 2n ** 64n, "is not a uint64 in decimal"),
  step: z.int().nonnegative(),
  cursor: z.strictObject({
    seed: z.int().nonnegative(),
    epoch: z.number().nonnegative(),
    slots: z.int().positive(),
    datasetSize: z.int().nonnegative(),
  }),
  fingerprints: z.record(z.string(), z.string()),
  files: z
    .array(z.strictObject({ name: fileName, size: z.int().nonnegative(), sha256 }))
    .max(1000)
    .refine((files) => new Set(files.map(({ name }) => name)).size === files.length, "has a name twice")
    .refine((files) => !files.some(({ name }) => name === manifestFile), `lists ${manifestFile} itself`)
    .refine(
      (files) => Object.values(checkpointFiles).every((needed) => files.some(({ name }) => name === needed)),
      `does not list all of ${Object.values(checkpointFiles).join(", ")}`,
    ),
});

const manifestSchema = firstSchema.extend({
  formatVersion: z.literal(formatVersion),
  /** SHA-256 of the manifest as it would be without this key. */
  checksum: sha256,
});

/** A manifest that a newer coord has written. */
export class NewerFormat extends CoordError {}

/** What `manifest.json`, written last, says about a checkpoint. */
export type Manifest = Omit<z.infer<typeof manifestSchema>, "formatVersion" | "checksum">;

/** Whether a file may be part of a checkpoint. */
export function isFileName(name: string): boolean {
  return fileName.safeParse(name).success && name !== manifestFile;
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  const { runId, generation, step, fingerprints } = manifest;
  const { datasetSize, epoch, seed, slots } = manifest.cursor;
  // Whatever order the caller's keys are in: the same manifest has the same bytes.
  const cursor = { seed, epoch, slots, datasetSize };
  const files = manifest.files.map(({ name, sha256, size }) => ({ name, size, sha256 }));
  const facts = { formatVersion, runId, generation: String(generation), step, cursor, fingerprints, files };
  const json = { ...facts, checksum: createHash("sha256").update(JSON.stringify(facts)).digest("hex") };
  manifestSchema.parse(json);
  return new TextEncoder().encode(`${JSON.stringify(json, undefined, 2)}\n`);
}

/** Throws CHECKPOINT_INVALID that names `path` and what is wrong. */
export function decodeManifest(text: string, path: string): Manifest {
  const invalid = (why: string, cause?: unknown) => new CoordError("CHECKPOINT_INVALID", `${path} ${why}.`, { cause });
  let json: unknown;
  try {
    json = parseStrictJson(text);
  } catch (thrown) {
    throw invalid(`is not valid JSON: ${(thrown as Error).message}`, thrown);
  }
  const version = z.object({ formatVersion: z.int() }).safeParse(json);
  if (version.success && version.data.formatVersion > formatVersion) {
    throw new NewerFormat(
      "CHECKPOINT_INVALID",
      `${path} has format version ${version.data.formatVersion}, newer than the ${formatVersion} that this coord reads; upgrade coord.`,
    );
  }
  const schema = version.data?.formatVersion === 1 ? firstSchema : manifestSchema;
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(`is not a manifest: ${issue?.path.join(".") || "the document"}: ${issue?.message}`, parsed.error);
  }
  const { cursor, files, fingerprints, generation, runId, step } = parsed.data;
  const manifest = { runId, generation, step, cursor, fingerprints, files };
  // To the byte: what the manifest says of the checkpoint it says of itself too. Version 1 could not.
  if (schema === manifestSchema && new TextDecoder().decode(encodeManifest(manifest)) !== text) {
    throw invalid("is damaged: its checksum does not fit it");
  }
  return manifest;
}
