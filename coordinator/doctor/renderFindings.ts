import { createStyle } from "../observe/style.ts";
import type { Finding } from "./finding.ts";

/** `coord doctor` for people: a line per finding, its remedy below it. */
export function renderFindings(findings: readonly Finding[], color: boolean): string[] {
  const style = createStyle(color);
  const paint = { ok: style.green, warning: style.yellow, problem: style.red };
  const width = Math.max(...findings.map(({ name }) => name.length));
  const count = (level: Finding["level"]) => findings.filter((finding) => finding.level === level).length;
  return [
    ...findings.flatMap(({ level, name, remedy, value }) => [
      `${paint[level](level.padEnd("problem".length))}  ${name.padEnd(width)}  ${value}`,
      ...(remedy === undefined ? [] : [`${" ".repeat("problem".length + 2 + width + 2)}${style.dim(`→ ${remedy}`)}`]),
    ]),
    "",
    `${count("ok")} ok, ${count("warning")} warnings, ${count("problem")} problems`,
  ];
}
