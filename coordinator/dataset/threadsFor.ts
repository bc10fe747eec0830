import { availableParallelism } from "node:os";

/**
 * Tokenizing threads for a file of so many bytes; 0 to do it in the calling thread. A few thousand rows take less time
 * than threads need to start, and each thread holds a tokenizer, up to 200 MB of it.
 */
export function threadsFor(bytes: number): number {
  const threads = bytes < 4 * 1024 * 1024 ? 0 : Math.min(availableParallelism(), 8);
  return threads > 1 ? threads : 0;
}
