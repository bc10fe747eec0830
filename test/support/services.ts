import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { DescFile, DescMethod, DescService } from "@bufbuild/protobuf";
import { packageRoot } from "../../shared/process/packageRoot.ts";

/** Every service of proto/coord/v1, found by looking, so that a new one cannot be forgotten. */
export async function allServices(): Promise<DescService[]> {
  const directory = join(packageRoot(), "shared", "gen", "coord", "v1");
  const files = await Promise.all(
    readdirSync(directory).map(async (name) => {
      const module = (await import(pathToFileURL(join(directory, name)).href)) as Record<string, unknown>;
      return Object.values(module).find((value) => (value as { kind?: string }).kind === "file") as DescFile;
    }),
  );
  return files.flatMap(({ services }) => services);
}

export async function allMethods(): Promise<DescMethod[]> {
  return (await allServices()).flatMap(({ methods }) => methods);
}
