import type { HubName } from "./hubName.ts";

/** What a repository is asked for. */
export type RepoKind = "model" | "dataset";

const modelFiles =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map)\.json$|^chat_template\.jinja$|^[^/]+\.safetensors(\.index\.json)?$/;
const dataFiles = /\.(jsonl?|ndjson|csv|tsv|parquet|txt|text)(\.gz)?$/i;
const notData = /(^|\/)(\.[^/]*|dataset_infos?\.json|requirements\.txt|licen[cs]e\.txt)$/i;
const otherSplits = /(^|[/_.-])(test|valid|validation|val|dev|eval)([/_.-]|$)/i;
const trainSplit = /(^|[/_.-])train([/_.-]|$)/i;

/**
 * The files of a repository that are wanted, by name. Of a model: configuration, tokenizer and weights at the top. Of a
 * data set: what `path` names, or else its data files, those of the training split alone where names tell splits apart.
 */
export function chooseFiles(paths: readonly string[], kind: RepoKind, path: HubName["path"]): string[] {
  const safe = paths.filter(isSafe).sort();
  if (kind === "model") return safe.filter((file) => modelFiles.test(file));
  if (path !== undefined) {
    const wanted = globPattern(path);
    return safe.filter((file) => file === path || file.startsWith(`${path}/`) || wanted.test(file));
  }
  const data = safe.filter((file) => dataFiles.test(file) && !notData.test(file));
  const rows = data.filter((file) => !/\.(txt|text)(\.gz)?$/i.test(file));
  const kept = rows.length > 0 ? rows : data;
  const train = kept.filter((file) => trainSplit.test(file));
  return train.length > 0 ? train : kept.filter((file) => !otherSplits.test(file));
}

/** A name of the hub becomes a name on this disk. */
function isSafe(path: string): boolean {
  return (
    !path.startsWith("/") &&
    !/[\\\0]/.test(path) &&
    !path.split("/").some((part) => part === ".." || part === "." || part === "")
  );
}

/** `*` within a folder, `**` across folders, `?` for one character. */
function globPattern(glob: string): RegExp {
  const source = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*\*\/?|\*|\?/g, (token) => (token.startsWith("**") ? ".*" : token === "*" ? "[^/]*" : "[^/]"));
  return new RegExp(`^${source}$`);
}
