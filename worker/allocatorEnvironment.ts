/**
 * Makes glibc give memory of 1 MiB and more back as soon as it is freed. By itself it raises that limit to 32 MiB as it
 * goes, and the peak of a worker that computes layer by layer grows by half with what lies around (mallopt(3)).
 */
export function allocatorEnvironment(environment: Readonly<NodeJS.ProcessEnv>): Record<string, string> {
  return { MALLOC_MMAP_THRESHOLD_: environment["MALLOC_MMAP_THRESHOLD_"] ?? String(2 ** 20) };
}
