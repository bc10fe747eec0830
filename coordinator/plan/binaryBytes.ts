/** Binary units, as memory is sold. */
export function binaryBytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let scaled = count;
  let unit = 0;
  while (scaled >= 1023.95 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(scaled) : scaled.toFixed(1)} ${units[unit]}`;
}
