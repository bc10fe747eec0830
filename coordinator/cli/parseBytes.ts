import { CoordError } from "../../shared/errors.ts";

const units: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

/** A size as transformers takes it: 5GB, 200MB, 1GiB, or bytes. Throws CONFIG_INVALID that names the flag. */
export function parseBytes(text: string, flag: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * (units[unit?.toUpperCase() ?? ""] ?? Number.NaN));
  if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
  throw new CoordError(
    "CONFIG_INVALID",
    `--${flag} must be a size such as 5GB or 200MiB, got ${JSON.stringify(text)}.`,
  );
}
