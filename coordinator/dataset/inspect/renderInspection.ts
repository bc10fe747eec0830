import { formatCount, formatDuration } from "../../observe/format.ts";
import { createStyle, type Style } from "../../observe/style.ts";
import type { InspectedExample, Inspection } from "./inspectDataSet.ts";

/** Characters of a piece of an example that are shown; the middle of a longer one is left out. */
const pieceCharacters = 600;
const barColumns = 40;

/** An inspection for people, line by line. */
export function renderInspection(found: Inspection, color: boolean): string[] {
  const style = createStyle(color);
  const { cache, lengths } = found;
  const share = (part: number, whole: number) => (whole === 0 ? "" : ` (${((100 * part) / whole).toFixed(1)} %)`);
  const lines = [
    ...found.files.map(({ path, kind, bytes }) => `${style.bold(path)}  ${kind}, ${formatCount(bytes)}B`),
    "",
    field("rows", number(found.rows)),
    field(
      "formats",
      Object.entries(found.formats)
        .map(([name, count]) => `${name} ${number(count)}`)
        .join(", ") || "none",
    ),
    field(
      "samples",
      `${number(found.samples)} with ${number(found.tokens)} tokens, ${number(found.labelTokens)} of them learned${share(found.labelTokens, found.tokens)}`,
    ),
    field(
      "cut",
      `${number(found.truncated)} at --max-length ${number(found.maxLength)}${share(found.truncated, found.samples)}, ${number(found.cutTokens)} tokens lost`,
    ),
    field(
      "dropped",
      `${number(found.unlabelled)} without an answer, ${number(found.cut)} with nothing to learn within the length, ${number(found.tooLong)} too long`,
    ),
    field("duplicates", `${number(found.duplicates)}${share(found.duplicates, found.rows)}`),
    field("empty", `${number(found.emptyAnswers)} rows with an empty answer`),
    field("cache", `${formatCount(cache.bytes)}B, made in ${formatDuration(cache.seconds)}`),
    "",
    `${style.bold("Length in tokens")}  mean ${number(Math.round(lengths.mean))}, median ${number(lengths.median)}, 90 % within ${number(lengths.p90)}, 99 % within ${number(lengths.p99)}, longest ${number(lengths.longest)}`,
    ...histogramLines(found, style),
  ];
  if (found.badRows > 0) {
    lines.push("", style.red(`${number(found.badRows)} rows would fail (--skip-bad-rows skips them):`));
    lines.push(...found.problems.map((problem) => `  ${problem}`));
    if (found.badRows > found.problems.length)
      lines.push(`  and ${number(found.badRows - found.problems.length)} more`);
  }
  for (const example of found.examples) lines.push("", ...exampleLines(example, style, color));
  return lines;
}

function field(name: string, value: string): string {
  return `  ${name.padEnd(12)}${value}`;
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}

function histogramLines({ lengths, maxLength }: Inspection, style: Style): string[] {
  const most = Math.max(1, ...lengths.histogram.map(({ samples }) => samples));
  const width = `${number(lengths.longest)}`.length + 2;
  return lengths.histogram.map(({ from, to, samples }) => {
    const bar = "█".repeat(Math.ceil((samples / most) * barColumns));
    const cut = from > maxLength;
    return `  ${number(from).padStart(width)} – ${number(to).padStart(width)}  ${cut ? style.yellow(bar) : style.green(bar)} ${number(samples)}${cut && samples > 0 ? style.dim(" cut") : ""}`;
  });
}

/** Without colour the learned part stands between ⟦ and ⟧. */
function exampleLines(
  { where, tokens, labelTokens, pieces }: InspectedExample,
  style: Style,
  color: boolean,
): string[] {
  const body = pieces
    .map(({ text, learned }) => {
      const shown = clean(shorten(text));
      if (!learned) return paint(shown, style.dim);
      return color ? paint(shown, style.green) : `⟦${shown}⟧`;
    })
    .join("");
  return [`${style.bold(where)}  ${number(tokens)} tokens, ${number(labelTokens)} learned`, body];
}

/** Colours line by line: some pagers end a colour at the end of a line. */
function paint(text: string, color: (text: string) => string): string {
  return text.split("\n").map(color).join("\n");
}

function shorten(text: string): string {
  if (text.length <= pieceCharacters) return text;
  return `${text.slice(0, pieceCharacters / 2)} … ${text.slice(-pieceCharacters / 2)}`;
}

/** Control characters of a data set must not steer the terminal. */
function clean(text: string): string {
  return text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (character) =>
    character === "\n" || character === "\t" ? character : "�",
  );
}
