import { CoordError } from "../../shared/errors.ts";
import { type CommandValues, textValue } from "./command.ts";

/** The positive number that an option was given; undefined when it was not. Throws CONFIG_INVALID. */
export function numberOption(
  values: CommandValues,
  name: string,
  { integer = false }: { readonly integer?: boolean } = {},
): number | undefined {
  const text = textValue(values, name);
  if (text === undefined) return undefined;
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isFinite(value) && value > 0 && (!integer || Number.isSafeInteger(value))) return value;
  throw new CoordError(
    "CONFIG_INVALID",
    `--${name} must be ${integer ? "a whole number from 1" : "a number above 0"}, got ${JSON.stringify(text)}.`,
  );
}
