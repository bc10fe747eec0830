import { parentPort, workerData } from "node:worker_threads";
import { type ErrorCode, toCoordError } from "../../shared/errors.ts";
import { createEncoder, type EncoderInput, type EncoderSetup, type Outcome } from "./encoder.ts";

/** What a thread answers to a batch. */
export type ThreadReply =
  | { readonly outcomes: readonly Outcome[] }
  | { readonly code: ErrorCode; readonly message: string };

// The main file of one tokenizing thread: a batch of rows in, their samples out, in the order they came.
if (parentPort !== null) {
  const port = parentPort;
  const encoder = createEncoder(workerData as EncoderSetup);
  port.on("message", (batch: readonly EncoderInput[]) => {
    try {
      const outcomes = batch.map(encoder.encode);
      const buffers = outcomes.flatMap((one) =>
        typeof one === "object" && "ids" in one ? [one.ids.buffer, one.mask.buffer] : [],
      );
      port.postMessage({ outcomes } satisfies ThreadReply, buffers as ArrayBuffer[]);
    } catch (thrown) {
      const { code, message } = toCoordError(thrown);
      port.postMessage({ code, message } satisfies ThreadReply);
    }
  });
}
