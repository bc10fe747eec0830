/** A repository on the hub: "owner/name", with what follows it in `hf://owner/name@revision/path`. */
export interface HubName {
  readonly name: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  /** A file, glob or folder in the repository; absent for all of it. */
  readonly path: string | undefined;
}

const part = "[A-Za-z0-9][A-Za-z0-9._-]*";
const plain = new RegExp(`^(${part}/${part})(?:@([\\w./-]+))?$`);
/** The revision of the long form ends at a slash, unless it is a reference such as refs/pr/1. */
const long = new RegExp(
  `^hf://(?:datasets/|models/)?(${part}/${part})(?:@(refs/[\\w.-]+/[\\w.-]+|[\\w.-]+))?(?:/(.+))?$`,
);
const fileNames = /\.(jsonl?|ndjson|csv|tsv|parquet|txt|text|gz|safetensors)$/i;

/** True for `hf://…`, which cannot mean anything else. */
export function isHubUrl(source: string): boolean {
  return source.startsWith("hf://");
}

/** Reads `hf://owner/name[@revision][/path]` or `owner/name[@revision]`; undefined for anything else. */
export function parseHubName(source: string): HubName | undefined {
  const match = isHubUrl(source) ? long.exec(source) : fileNames.test(source) ? null : plain.exec(source);
  if (match === null) return undefined;
  const [, name, revision, path] = match;
  return { name: name!, revision: revision ?? "main", path: path?.replace(/\/+$/, "") };
}
