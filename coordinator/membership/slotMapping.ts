/**
 * Slots that a rank computes: contiguous blocks in rank order, sizes differing by one at most.
 * Only who computes a slot depends on the world size, never what is computed.
 */
export function slotsOf(rank: number, worldSize: number, slots: number): number[] {
  const first = Math.floor((rank * slots) / worldSize);
  const end = Math.floor(((rank + 1) * slots) / worldSize);
  return Array.from({ length: end - first }, (_, index) => first + index);
}
