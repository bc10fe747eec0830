/**
 * Which GPU a worker sees: the index-th of those that its agent may use. `own` is the agent's own CUDA_VISIBLE_DEVICES,
 * which a batch system or the user has set; without one, GPUs are counted from 0. More workers than GPUs share them.
 */
export function visibleDevice(index: string, own: string | undefined): string {
  const devices = own?.split(",").filter((device) => device !== "") ?? [];
  return devices[Number(index) % devices.length] ?? index;
}
