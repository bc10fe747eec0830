import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { CoordError } from "../../shared/errors.ts";
import { packageRoot } from "../../shared/process/packageRoot.ts";

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

export interface Assets {
  readonly page: Asset;
  readonly byName: ReadonlyMap<string, Asset>;
}

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** The page and its files, as `npm run build` leaves them in dist/dashboard. Read whole: no request names a path. */
export async function readAssets(directory = join(packageRoot(), "dist", "dashboard")): Promise<Assets> {
  try {
    const names = await readdir(join(directory, "assets"));
    const files = names.map(async (name) => {
      const body = await readFile(join(directory, "assets", name));
      return [name, { type: types[extname(name)] ?? "application/octet-stream", body }] as const;
    });
    const page = { type: "text/html; charset=utf-8", body: await readFile(join(directory, "index.html")) };
    return { page, byName: new Map(await Promise.all(files)) };
  } catch (cause) {
    throw new CoordError("STORAGE_FAILED", `The dashboard's page is not in ${directory}; npm run build makes it.`, {
      cause,
    });
  }
}
