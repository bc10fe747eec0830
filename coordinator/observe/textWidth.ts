import stringWidth from "string-width";

const segmenter = new Intl.Segmenter();

/** Columns that a text without line breaks takes on a terminal; Chinese characters take two. */
export function textWidth(text: string): number {
  return stringWidth(text);
}

/** Cuts a text to a number of columns, with "…" where something is missing. */
export function fitWidth(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let kept = "";
  let width = 0;
  for (const { segment } of segmenter.segment(text)) {
    width += textWidth(segment);
    if (width > columns - 1) break;
    kept += segment;
  }
  return columns > 0 ? `${kept}…` : "";
}

/** Puts texts side by side, two blanks apart, on as few lines as their widths allow. */
export function packFields(fields: readonly string[], columns: number): string[][] {
  const lines: string[][] = [];
  let width = 0;
  for (const field of fields) {
    const fitted = fitWidth(field, columns);
    const line = lines.at(-1);
    const wanted = textWidth(fitted);
    if (line !== undefined && width + 2 + wanted <= columns) {
      line.push(fitted);
      width += 2 + wanted;
    } else {
      lines.push([fitted]);
      width = wanted;
    }
  }
  return lines;
}
