/**
 * Where an engine computes. With cuda it is the first GPU that the process sees: which one that is, the agent decides
 * with CUDA_VISIBLE_DEVICES.
 */
export interface Device {
  readonly kind: "auto" | "cpu" | "webgpu" | "cuda";
}

/** Reads `--device`, which the schema has checked. */
export function parseDevice(text: string): Device {
  return { kind: text.split(":")[0] as Device["kind"] };
}
