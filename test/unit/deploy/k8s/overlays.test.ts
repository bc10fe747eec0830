import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { overlaysDirectory, type PodSpec, yamlFiles } from "../../../support/manifests.ts";
// @ts-expect-error a script without types, shared with the command line
import { overlayFiles } from "../../../support/writeOverlays.mjs";

describe("an object made from the base's jobs", () => {
  for (const { path, text } of overlayFiles() as { path: string; text: string }[]) {
    it(`is what the base makes of it: ${path.slice(overlaysDirectory.length + 1)}`, () => {
      expect(readFileSync(path, "utf8")).toBe(text);
    });
  }
});

/** Pod specifications anywhere in an object. */
function podSpecs(value: unknown): PodSpec[] {
  if (typeof value !== "object" || value === null) return [];
  const nested = Object.values(value).flatMap(podSpecs);
  // A patch names no image.
  const isWhole = "containers" in value && (value as PodSpec).containers.every(({ image }) => image !== undefined);
  return isWhole ? [value as PodSpec, ...nested] : nested;
}

describe.each(readdirSync(overlaysDirectory))("the overlay %s", (overlay) => {
  const directory = join(overlaysDirectory, overlay);
  const documents = yamlFiles(directory).flatMap((name) => {
    const parsed = parseAllDocuments(readFileSync(join(directory, name), "utf8"), { version: "1.1" });
    return parsed.map((document) => ({ name, object: document.toJS() }));
  });

  it("meets the restricted Pod Security Standard wherever it has whole pods", () => {
    for (const spec of documents.flatMap(({ object }) => podSpecs(object))) {
      expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } });
      for (const { securityContext } of spec.containers) {
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
      }
    }
  });

  it("lists every file it has", () => {
    const { object } = documents.find(({ name }) => name === "kustomization.yaml")!;
    const listed = [...object.resources, ...(object.patches ?? []).map(({ path }: { path: string }) => path)];
    const own = listed.filter((path: string) => !path.startsWith("../"));
    expect(own.sort()).toEqual(
      yamlFiles(directory)
        .filter((name) => name !== "kustomization.yaml")
        .sort(),
    );
  });
});
