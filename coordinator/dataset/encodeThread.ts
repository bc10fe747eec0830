import { parentPort, workerData } from "node:worker_threads";
import { type ErrorCode, toCoordError } from "../../shared/errors.ts";
import { createEncoder, type EncoderInput, type EncoderSetup } from "./encoder.ts";
import { type PackedOutcomes, packOutcomes } from "./packOutcomes.ts";

/** What a thread answers to a batch. */
export type ThreadReply = { readonly packed: PackedOutcomes } | { readonly code: ErrorCode; readonly message: string };

// The main file of one tokenizing thread: a batch of rows in, their samples out, in the order they came.
if (parentPort !== null) {
  const port = parentPort;
  const encoder = createEncoder(workerData as EncoderSetup);
  port.on("message", (batch: readonly EncoderInput[]) => {
    try {
      const packed = packOutcomes(batch.map(encoder.encode));
      port.postMessage({ packed } satisfies ThreadReply, [packed.ids.buffer, packed.masks.buffer]);
    } catch (thrown) {
      const { code, message } = toCoordError(thrown);
      port.postMessage({ code, message } satisfies ThreadReply);
    }
  });
}
