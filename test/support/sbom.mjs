// Prints what the image has from the registry, as CycloneDX: every package of the lock that is neither for development
// nor optional. `npm sbom --omit dev` leaves out what both the program and a development dependency need.
import { readFileSync } from "node:fs";

const read = (name) => JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"));
const { name, version, license } = read("package.json");
const { packages } = read("package-lock.json");

const components = Object.entries(packages)
  .filter(([path, { dev, devOptional, optional }]) => path !== "" && !dev && !devOptional && !optional)
  .map(([path, entry]) => component(path.slice(path.lastIndexOf("node_modules/") + 13), entry));
const document = {
  bomFormat: "CycloneDX",
  specVersion: "1.5",
  version: 1,
  metadata: { component: { type: "application", name, version, licenses: [licence(license)] } },
  components,
};
process.stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);

function component(packageName, { integrity, license: words, version: packageVersion }) {
  const [scope, short] = packageName.startsWith("@") ? packageName.split("/") : [undefined, packageName];
  return {
    type: "library",
    name: packageName,
    version: packageVersion,
    purl: `pkg:npm/${scope === undefined ? "" : `${scope.replace("@", "%40")}/`}${short}@${packageVersion}`,
    licenses: words === undefined ? [] : [licence(words)],
    // npm's own form is ALGORITHM-BASE64.
    hashes: (integrity ?? "").split(" ").flatMap((text) => {
      const [, bits, base64] = /^sha(\d+)-(.+)$/.exec(text) ?? [];
      return bits ? [{ alg: `SHA-${bits}`, content: Buffer.from(base64, "base64").toString("hex") }] : [];
    }),
  };
}

/** One licence by its SPDX name; several as the expression that they are. */
function licence(words) {
  return /^[\w.+-]+$/.test(words) ? { license: { id: words } } : { expression: words };
}
