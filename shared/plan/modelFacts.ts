import { z } from "zod";
import { runConfigSchema } from "../config/schema.ts";

const count = z.number().nonnegative();

const memorySchema = z.strictObject({
  /** Samples in the micro-batch. */
  batch: z.int().positive(),
  /** All in bytes. Frozen weights as the engine holds them. */
  weights: count,
  /** Trainable parameters and their gradients, in the engine and on their way in and out. */
  trainable: count,
  /** Parameters and moments before and after a step, which is kept until all workers have voted. */
  optimizer: count,
  activations: count,
  /** The process itself and what its allocator holds unused. */
  workspace: count,
  total: count,
});

/** What the worker's side says of a model whose weights it has not loaded. */
export const modelFactsSchema = z.strictObject({
  /** Elements of the frozen weights. */
  frozenElements: z.int().nonnegative(),
  /** Elements that are trained. */
  trainableElements: z.int().positive(),
  /** Element types of the weight files: "BF16". */
  dtypes: z.array(z.string()),
  /** Bytes of the frozen weights in their files. */
  fileBytes: count,
  /** Tokens per sample that the memory is for. */
  sequence: z.int().positive(),
  /** For the micro-batch asked for. */
  memory: memorySchema,
  /** For the largest micro-batch that fits the bytes given; absent where none fits or none was asked for. */
  largest: memorySchema.optional(),
});

/** Memory of one worker process at its peak, by term. */
export type WorkerMemory = z.infer<typeof memorySchema>;
export type ModelFacts = z.infer<typeof modelFactsSchema>;

/** What is asked. */
export const modelQuestionSchema = z.strictObject({
  /** Names the model, what is trained of it, and the micro-batch. */
  config: runConfigSchema,
  sequence: z.int().positive(),
  /** Memory to fill, in bytes. */
  limitBytes: z.number().positive().optional(),
});
export type ModelQuestion = z.infer<typeof modelQuestionSchema>;

/** The answer: one line of JSON on standard output. */
export const modelAnswerSchema = z.union([
  z.strictObject({ facts: modelFactsSchema }),
  z.strictObject({ error: z.strictObject({ code: z.string(), message: z.string() }) }),
]);
