/** An interval of values, from below to. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Round numbers inside a range, about `count` of them, with as many decimals as they need (Heckbert 1990). */
export function axisTicks({ from, to }: Range, count: number): { readonly value: number; readonly label: string }[] {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.7)!;
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const value = (first + index) * step;
    return { value, label: decimals === 0 ? Math.round(value).toLocaleString("en-US") : value.toFixed(decimals) };
  });
}
