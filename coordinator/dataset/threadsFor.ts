import { availableParallelism } from "node:os";
import { hostMemory } from "../plan/hostMemory.ts";

/** Below this the threads take longer to start than they save. */
const worthThreads = 4 * 1024 * 1024;
/** More than one thread can read for. */
const mostThreads = 16;
/** Memory that threads may take on any host, so that one of 2 GB prepares any data set. */
const leastBudget = 640 * 1024 * 1024;

/**
 * Tokenizing threads for a file of so many bytes; 0 to do it in the calling thread. A few thousand rows take less time
 * than threads need to start. Each thread holds a tokenizer, so that small hosts run fewer of them.
 */
export function threadsFor(bytes: number, tokenizerBytes: number, host: Host = thisHost()): number {
  if (bytes < worthThreads) return 0;
  const budget = Math.max(leastBudget, host.freeBytes / 8);
  const fitting = Math.max(1, Math.floor(budget / bytesOfThread(tokenizerBytes)));
  const threads = Math.min(host.processors, mostThreads, fitting);
  return threads > 1 ? threads : 0;
}

interface Host {
  readonly processors: number;
  readonly freeBytes: number;
}

function thisHost(): Host {
  const { available, limit = available } = hostMemory();
  return { processors: availableParallelism(), freeBytes: Math.min(available, limit) };
}

/** About what was measured with vocabularies of 16,000 and 128,000 tokens, of 1.2 and 11.5 MB. */
function bytesOfThread(tokenizerBytes: number): number {
  return 96 * 1024 * 1024 + 10 * tokenizerBytes;
}
