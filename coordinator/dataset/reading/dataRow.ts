import type { Row } from "../../../shared/dataset/formats/rowFormat.ts";
import { CoordError } from "../../../shared/errors.ts";

/** One row of a data set, or why it cannot be read. `line` is the line, from 1, that it begins on; in Parquet the row. */
export type DataRow =
  | { readonly line: number; readonly row: Row }
  | { readonly line: number; readonly problem: CoordError };

/** The row that `thrown` says something about. Throws it again where it is no complaint about the data. */
export function badRow(line: number, thrown: unknown): DataRow {
  if (thrown instanceof CoordError && thrown.code === "DATA_INVALID") return { line, problem: thrown };
  throw thrown;
}
