import { z } from "zod";
import { CoordError } from "../../shared/errors.ts";

/** A size of a model. The limits are far above any model's, and keep a nonsensical file from taking all memory. */
export const size = z
  .int()
  .positive()
  .max(2 ** 24);
export const layerCount = z.int().positive().max(1000);

/** Checks the content of a config.json; `path` and `family` are for the message. Throws CoordError MODEL_INVALID. */
export function parseFamilyConfig<Config>(
  schema: z.ZodType<Config>,
  content: unknown,
  { path, family }: { path: string; family: string },
): Config {
  const parsed = schema.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw unsupported(path, family, `${issue?.path.join(".") || "the file"}: ${issue?.message}`);
}

export function unsupported(path: string, family: string, problem: string): CoordError {
  return new CoordError(
    "MODEL_INVALID",
    `${path} does not describe a ${family} model that can be trained: ${problem}; use the file that belongs to the model.`,
  );
}

/** The size of a head. Throws CoordError MODEL_INVALID where heads do not divide the hidden size. */
export function headDimOf(hiddenSize: number, heads: number, path: string, family: string): number {
  if (hiddenSize % heads === 0) return hiddenSize / heads;
  throw unsupported(path, family, `the hidden size ${hiddenSize} is no multiple of its ${heads} heads`);
}
