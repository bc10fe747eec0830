import { z } from "zod";

/** One file of a model: what must be the same on every host. */
const modelFileSchema = z.strictObject({
  name: z.string(),
  bytes: z.int().nonnegative(),
  /** SHA-256; of a large file that of its first and last mebibyte. */
  digest: z.string(),
});

/** What a host is asked before a run starts there; one JSON document on standard input. */
export const hostQuestionSchema = z.strictObject({
  /** Model directory; the same path on every host. */
  model: z.string(),
  /** "host:port" of a listener that greets with `greeting`; absent where none could be opened. */
  callback: z.string().optional(),
  greeting: z.string(),
});

/** What a host answers; one JSON document on standard output. */
export const hostFactsSchema = z.strictObject({
  hostname: z.string(),
  node: z.string(),
  version: z.string(),
  processors: z.int().positive(),
  /** GPUs that nvidia-smi lists; absent without it. */
  gpus: z.int().nonnegative().optional(),
  clockMs: z.number(),
  home: z.string(),
  /** Why nothing can be written into `home`; absent when it can. */
  homeProblem: z.string().optional(),
  freeBytes: z.number().optional(),
  model: z.array(modelFileSchema).optional(),
  modelProblem: z.string().optional(),
  /** Why the listener was not reached; absent when it was, or when there was none. */
  callbackProblem: z.string().optional(),
});

/** What an agent that a launcher places on a host gets; one line of JSON on standard input, since arguments can be read by everybody. */
export const placementSchema = z.strictObject({
  runId: z.string().min(1),
  nodeRank: z.int().nonnegative(),
  /** "host:port" of the coordinator. */
  join: z.string(),
  /** Credentials: the variable that names the file, and its content. */
  files: z.record(z.string().regex(/^COORD_[A-Z_]+$/), z.string()),
  environment: z.record(z.string(), z.string()),
});

/** The line after a placement that has the agent ended. */
export const endLine = "end";

export type ModelFile = z.infer<typeof modelFileSchema>;
export type HostQuestion = z.infer<typeof hostQuestionSchema>;
export type HostFacts = z.infer<typeof hostFactsSchema>;
export type Placement = z.infer<typeof placementSchema>;
