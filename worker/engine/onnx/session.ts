import { InferenceSession } from "onnxruntime-node";
import { CoordError } from "../../../shared/errors.ts";
import type { Provider } from "./chooseProvider.ts";

export interface SessionOptions {
  /** Compute threads. */
  readonly threads: number;
  /** Folder of the files that the model's external data is in. */
  readonly folder?: string;
  /** Whether freed memory is kept for later runs (default: true). */
  readonly arena?: boolean;
  /** The CPU unless given. What it cannot do, the CPU does. */
  readonly provider?: Provider;
  /** Writes a profile of what is run to a file with this prefix, until `endProfiling`. */
  readonly profilePrefix?: string;
}

/** Opens an ONNX model. Throws CoordError ENGINE_FAILED. */
export async function openSession(
  model: Uint8Array,
  { threads, folder, arena = true, provider = "cpu", profilePrefix }: SessionOptions,
): Promise<InferenceSession> {
  const options: InferenceSession.SessionOptions = {
    executionProviders: [provider],
    ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
    executionMode: "sequential",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    enableCpuMemArena: arena,
    // A pattern is planned per input shape and held beside what the arena already has: double the memory, and no faster.
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: {
      session: {
        // Idle threads sleep: hosts run more workers than they have cores.
        intra_op: { allow_spinning: "0" },
        use_deterministic_compute: "1",
        // Packed copies of the weights would double the memory of a model for little speed at many tokens per step.
        disable_prepacking: "1",
        ...(folder === undefined ? {} : { model_external_initializers_file_folder_path: folder }),
      },
    },
  };
  return guarded(() => InferenceSession.create(model, options));
}

/** Maps what the runtime throws. */
export async function guarded<Result>(run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (thrown) {
    if (thrown instanceof CoordError) throw thrown;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const advice = /alloc/i.test(reason)
      ? " Lower --per-device-train-batch-size or --max-length, or run fewer workers on this host."
      : "";
    throw new CoordError("ENGINE_FAILED", `onnxruntime failed: ${reason}.${advice}`, { cause: thrown });
  }
}
