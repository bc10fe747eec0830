import { z } from "zod";

/** What running a tiny model on an engine has shown. */
export const engineCheckSchema = z.discriminatedUnion("ok", [
  z.strictObject({
    ok: z.literal(true),
    /** "onnx (cpu, 1 thread)". */
    engine: z.string(),
    /** Milliseconds to load the engine, differentiate the model and run it. */
    tookMs: z.number(),
  }),
  z.strictObject({ ok: z.literal(false), reason: z.string() }),
]);
export type EngineCheck = z.infer<typeof engineCheckSchema>;
