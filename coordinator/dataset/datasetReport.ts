import { readFile } from "node:fs/promises";
import { z } from "zod";
import { writeFileAtomic } from "../../shared/process/atomicFile.ts";

const reportSchema = z.object({
  files: z.int(),
  /** Rows of each format, in the order in which the formats were met first. */
  formats: z.record(z.string(), z.int()),
  /** Rows skipped because they could not be read. */
  badRows: z.int(),
  /** Samples that were added to those of the rows (--augment). */
  variants: z.int().default(0),
  /** Why the first few of those could not be read. */
  problems: z.array(z.string()),
});

/** What was found in a data set; kept beside its token file, which says nothing about where its samples came from. */
export type DatasetReport = Readonly<z.infer<typeof reportSchema>>;

/** Counts rows while they are read, and keeps the first few problems. */
export class ReportCounter {
  readonly #formats = new Map<string, number>();
  readonly #problems: string[] = [];
  #badRows = 0;
  #variants = 0;

  constructor(private readonly maxProblems = 3) {}

  addRow(format: string): void {
    this.#formats.set(format, (this.#formats.get(format) ?? 0) + 1);
  }

  addBadRow(problem: string): void {
    this.#badRows++;
    if (this.#problems.length < this.maxProblems) this.#problems.push(problem);
  }

  addVariant(): void {
    this.#variants++;
  }

  get badRows(): number {
    return this.#badRows;
  }

  get firstProblem(): string | undefined {
    return this.#problems[0];
  }

  report(files: number): DatasetReport {
    return {
      files,
      formats: Object.fromEntries(this.#formats),
      badRows: this.#badRows,
      variants: this.#variants,
      problems: [...this.#problems],
    };
  }
}

/** Where the report of a token file is. */
export function reportPath(tokenFile: string): string {
  return `${tokenFile.replace(/\.tokens$/, "")}.report.json`;
}

export async function writeReport(tokenFile: string, report: DatasetReport): Promise<void> {
  await writeFileAtomic(reportPath(tokenFile), JSON.stringify(report));
}

/** The report of a token file; undefined where there is none that can be read. */
export async function readReport(tokenFile: string): Promise<DatasetReport | undefined> {
  try {
    return reportSchema.parse(JSON.parse(await readFile(reportPath(tokenFile), "utf8")));
  } catch {
    return undefined;
  }
}
