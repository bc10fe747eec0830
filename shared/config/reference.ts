import { errorCatalogue } from "../errors.ts";
import { defaultText } from "./flags.ts";
import { type Setting, settings } from "./settings.ts";

/** The settings as Markdown, one table per group; the README holds exactly this text. */
export function configReference(): string {
  const groups = [...new Set(settings.map(({ group }) => group))];
  return groups
    .map((group) =>
      table(
        group,
        settings.filter((setting) => setting.group === group),
      ),
    )
    .join("\n\n");
}

/** The error catalogue as one Markdown table, by exit code; the README holds exactly this text. */
export function errorReference(): string {
  const rows = Object.entries(errorCatalogue).sort(([, a], [, b]) => a.exitCode - b.exitCode);
  return [
    "| code | exit | meaning |",
    "| --- | --- | --- |",
    ...rows.map(([code, { exitCode, meaning }]) => `| \`${code}\` | ${exitCode} | ${meaning.replaceAll("|", "\\|")} |`),
  ].join("\n");
}

function table(group: string, rows: readonly Setting[]): string {
  return [
    `### ${group}`,
    "",
    "| Flag | Default | Meaning |",
    "| --- | --- | --- |",
    ...rows.map((setting) => `| ${flagCell(setting)} | ${defaultCell(setting)} | ${meaningCell(setting)} |`),
  ].join("\n");
}

function flagCell({ flag, aliases }: Setting): string {
  return [flag, ...aliases].map((name) => `\`--${name}\``).join(", ");
}

function defaultCell(setting: Setting): string {
  const text = defaultText(setting);
  return text === undefined ? "" : `\`${text}\``;
}

function meaningCell({ description, choices }: Setting): string {
  const allowed = choices === undefined ? "" : ` One of ${choices.map((choice) => `\`${choice}\``).join(", ")}.`;
  return `${description}${allowed}`.replaceAll("|", "\\|");
}
