import { elementCount, type ParamLayout } from "../../../shared/tensors/layout.ts";
import type { Segment } from "../../model/cutModel.ts";

/**
 * Ranges of the flat gradient that are final when the backward pass, which goes from the last segment to the first, has
 * left segment `at`: of parameters that no segment before it uses. Neighbouring tensors make one range.
 */
export function finalRanges({ tensors }: ParamLayout, segments: readonly Segment[], at: number): [number, number][] {
  const before = new Set(segments.slice(0, at).flatMap(({ trained }) => trained));
  const here = new Set(segments[at]!.trained);
  const ranges: [number, number][] = [];
  for (const { name, offset, shape } of tensors) {
    if (!here.has(name) || before.has(name)) continue;
    const end = offset + elementCount(shape);
    const last = ranges.at(-1);
    if (last?.[1] === offset) last[1] = end;
    else ranges.push([offset, end]);
  }
  return ranges;
}
