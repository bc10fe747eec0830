import { z } from "zod";
import { runConfigSchema } from "../../shared/config/schema.ts";
import { processIdentitySchema } from "../../shared/process/identity.ts";

/** run.json: what the run is. */
export const runFileSchema = z.strictObject({
  runId: z.string(),
  createdAtMs: z.number().nonnegative(),
  config: runConfigSchema,
  /** Absolute path of the directory of checkpoints and the adapter. */
  output: z.string().min(1),
});

/** coordinator.json: where the run's coordinator listens, and which process it is. */
export const coordinatorFileSchema = z.strictObject({
  address: z.string().regex(/^\S+:\d{1,5}$/, "must be HOST:PORT"),
  process: processIdentitySchema,
});

/** result.json: how the run ended. */
export const resultFileSchema = z.strictObject({
  state: z.enum(["finished", "stopped", "failed"]),
  exitCode: z.int().min(0).max(255),
  /** Code of the error catalogue; empty when there was no error. */
  errorCode: z.string(),
  /** One sentence for people. */
  message: z.string(),
  step: z.int().nonnegative(),
  /** 0 when the run ended before it was known. */
  maxSteps: z.int().nonnegative(),
  output: z.string(),
  /** Newest checkpoint directory; empty when there is none. */
  checkpoint: z.string(),
  /** Directory of the finished adapter; empty when there is none. */
  adapter: z.string(),
});

export type RunFile = z.infer<typeof runFileSchema>;
export type CoordinatorFile = z.infer<typeof coordinatorFileSchema>;
export type ResultFile = z.infer<typeof resultFileSchema>;
