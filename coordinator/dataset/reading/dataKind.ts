import { open } from "node:fs/promises";

/** How a file is read. */
export type DataKind = "json" | "csv" | "tsv" | "parquet" | "text";

/**
 * Tells by its name how a file is read, and by its first bytes where they say otherwise: Parquet under any name is
 * Parquet, and a `.csv` or `.tsv` that begins like JSON is JSON. A `.gz` behind the name does not count.
 */
export async function kindOfData(path: string, firstCharacter: string | undefined): Promise<DataKind> {
  if (await beginsWith(path, Buffer.from("PAR1", "latin1"))) return "parquet";
  const extension = /\.([a-z]+)$/i.exec(path.replace(/\.gz$/i, ""))?.[1]?.toLowerCase();
  if (extension === "parquet") return "parquet";
  if (extension === "txt" || extension === "text") return "text";
  if (firstCharacter === "{" || firstCharacter === "[") return "json";
  return extension === "csv" || extension === "tsv" ? extension : "json";
}

/** True when the file is compressed by gzip, whatever its name. */
export function isGzip(path: string): Promise<boolean> {
  return beginsWith(path, Buffer.of(0x1f, 0x8b));
}

async function beginsWith(path: string, magic: Buffer): Promise<boolean> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(magic.length), 0, magic.length, 0);
    return bytesRead === magic.length && buffer.equals(magic);
  } finally {
    await file.close();
  }
}
