// Rewrites the reference sections of README.md from the compiled program. Run by `npm run docs`.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { retryReference } from "../../dist/coordinator/launch/retryRules.js";
import { configReference, errorReference } from "../../dist/shared/config/reference.js";

const path = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "README.md");

let text = readFileSync(path, "utf8");
const sections = { config: configReference(), error: errorReference(), retry: retryReference() };
for (const [name, content] of Object.entries(sections)) {
  const [start, end] = [`<!-- ${name}-reference -->`, `<!-- /${name}-reference -->`];
  const [from, to] = [text.indexOf(start), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md lacks the markers ${start} … ${end}.`);
  text = `${text.slice(0, from)}${start}\n${content}\n${text.slice(to)}`;
}
writeFileSync(path, text);
