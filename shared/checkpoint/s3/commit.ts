import { z } from "zod";
import { CoordError } from "../../errors.ts";
import { parseStrictJson } from "../../tensors/strictJson.ts";

const commitSchema = z.strictObject({
  formatVersion: z.literal(1),
  attempt: z.string().regex(/^[0-9a-f]{8}$/),
  manifestSha256: z.string().regex(/^[0-9a-f]{64}$/),
});

/** The object that makes an attempt count. */
export type Commit = Omit<z.infer<typeof commitSchema>, "formatVersion">;

export function encodeCommit({ attempt, manifestSha256 }: Commit): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ formatVersion: 1, attempt, manifestSha256 })}\n`);
}

/** Throws CHECKPOINT_INVALID that names `url`. */
export function decodeCommit(bytes: Uint8Array, url: string): Commit {
  try {
    const commit = commitSchema.parse(parseStrictJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
    if (Buffer.compare(encodeCommit(commit), bytes) === 0) return commit;
  } catch (cause) {
    throw new CoordError("CHECKPOINT_INVALID", `${url} is not a commit of a checkpoint.`, { cause });
  }
  throw new CoordError("CHECKPOINT_INVALID", `${url} is damaged.`);
}
