/** A loss in nats with four decimals. */
export function formatLoss(loss: number): string {
  return Number.isFinite(loss) ? loss.toFixed(4) : String(loss);
}

/** A learning rate: 0.0002 → "2.00e-4". */
export function formatRate(rate: number): string {
  return rate === 0 ? "0" : rate.toExponential(2);
}

/** A gradient norm with three digits: "0.812", "12.3". */
export function formatNorm(norm: number): string {
  return norm !== 0 && (norm < 0.001 || norm >= 1000) ? norm.toExponential(2) : String(Number(norm.toPrecision(3)));
}

/** A count with a unit prefix: 12345 → "12.3k". */
export function formatCount(count: number): string {
  const prefixes = ["", "k", "M", "G", "T"];
  let scaled = count;
  let prefix = 0;
  // 999.95 would print as "1000.0".
  while (Math.abs(scaled) >= (prefix === 0 ? 1000 : 999.95) && prefix < prefixes.length - 1) {
    scaled /= 1000;
    prefix += 1;
  }
  return prefix === 0 ? String(Math.round(scaled)) : `${scaled.toFixed(1)}${prefixes[prefix]}`;
}

/** A duration: "42s", "3m 12s", "2h 05m", "3d 4h". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24];
  const [minutes, rest] = [Math.floor(whole / 60) % 60, whole % 60];
  if (days > 0) return `${days}d ${hours}h`;
  if (hours > 0) return `${hours}h ${String(minutes).padStart(2, "0")}m`;
  return minutes > 0 ? `${minutes}m ${String(rest).padStart(2, "0")}s` : `${rest}s`;
}

/** Local time of day: "21:54:03". */
export function formatTime(timeMs: number): string {
  const date = new Date(timeMs);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** Local date and time: "2026-11-20 21:54:03". */
export function formatDateTime(timeMs: number): string {
  const date = new Date(timeMs);
  const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0"));
  return `${day.join("-")} ${formatTime(timeMs)}`;
}
