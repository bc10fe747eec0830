import { lstat, mkdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { datasetInfo, HubApiError, listFiles, modelInfo } from "@huggingface/hub";
import { CoordError } from "../../shared/errors.ts";
import { fileError } from "../../shared/process/atomicFile.ts";
import { waitForLock } from "../../shared/process/waitForLock.ts";
import { chooseFiles, type RepoKind } from "./chooseFiles.ts";
import { downloadFile, failed, reasonOf } from "./downloadFile.ts";
import type { HubName } from "./hubName.ts";
import type { HubSettings } from "./hubSettings.ts";

/** How far the download of a repository is, in bytes of all its files. */
export interface DownloadProgress {
  readonly repo: string;
  readonly file: string;
  readonly done: number;
  readonly total: number;
}

export interface FetchOptions {
  readonly kind: RepoKind;
  readonly hub: HubName;
  readonly settings: HubSettings;
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: DownloadProgress) => void;
}

/** A repository on this disk. */
export interface FetchedRepo {
  readonly directory: string;
  /** The files that were asked for, absolute. */
  readonly files: readonly string[];
  readonly commit: string;
}

interface WantedFile {
  readonly path: string;
  readonly size: number;
  readonly hash: { readonly kind: "sha256" | "git"; readonly value: string };
}

/**
 * Brings the wanted files of a repository into the cache that `huggingface_hub` uses, in its layout; what is there
 * already stays. Processes of this host that want the same wait for one another. Throws MODEL_INVALID or DATA_INVALID
 * where the repository does not have what is wanted, DOWNLOAD_FAILED where the hub cannot be reached.
 */
export async function fetchRepo(options: FetchOptions): Promise<FetchedRepo> {
  const { hub, kind, settings, signal } = options;
  const folder = `${kind}s--${hub.name.replace("/", "--")}`;
  const root = join(settings.cacheDirectory, folder);
  if (settings.offline) return findCached(options, root);
  const commit = await resolveCommit(options);
  const wanted = await listWanted(options, commit);
  const directory = join(root, "snapshots", commit);
  const lock = await waitForLock(join(settings.cacheDirectory, ".locks", folder, "coord.lock"), "download", signal);
  try {
    await mkdir(join(root, "blobs"), { recursive: true });
    const total = wanted.reduce((sum, { size }) => sum + size, 0);
    let before = 0;
    for (const file of wanted) {
      await fetchFile(options, file, commit, root, (done) =>
        options.onProgress({ repo: hub.name, file: file.path, done: before + done, total }),
      );
      before += file.size;
    }
    await writeIn(join(root, "refs", hub.revision), commit);
    await writeIn(join(root, "coord", `${commit}.${kind}.json`), JSON.stringify(wanted.map(({ path }) => path)));
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown instanceof CoordError ? thrown : fileError(thrown, "write", root);
  } finally {
    await lock.release();
  }
  return { directory, commit, files: wanted.map(({ path }) => join(directory, path)) };
}

async function resolveCommit(options: FetchOptions): Promise<string> {
  const { hub, kind, settings } = options;
  const shared = { name: hub.name, revision: hub.revision, hubUrl: settings.endpoint, fetch: apiFetch(options) };
  const info = await asking(options, () =>
    kind === "model"
      ? modelInfo({ ...shared, additionalFields: ["sha"] })
      : datasetInfo({ ...shared, additionalFields: ["sha"] }),
  );
  if (/^[0-9a-f]{40,64}$/.test(info.sha)) return info.sha;
  throw failed(settings.endpoint, `it does not say which commit ${hub.revision} of ${hub.name} is`);
}

async function listWanted(options: FetchOptions, commit: string): Promise<WantedFile[]> {
  const { hub, kind, settings } = options;
  const found = new Map<string, WantedFile>();
  await asking(options, async () => {
    const repo = { type: kind, name: hub.name };
    const entries = listFiles({
      repo,
      recursive: true,
      revision: commit,
      hubUrl: settings.endpoint,
      fetch: apiFetch(options),
    });
    for await (const { type, path, size, oid, lfs } of entries) {
      if (type !== "file") continue;
      const hash = lfs ? ({ kind: "sha256", value: lfs.oid } as const) : ({ kind: "git", value: oid ?? "" } as const);
      if (/^[0-9a-f]{40,64}$/.test(hash.value)) found.set(path, { path, size: lfs?.size ?? size, hash });
    }
  });
  const chosen = chooseFiles([...found.keys()], kind, hub.path);
  if (chosen.length > 0) return chosen.map((path) => found.get(path)!);
  throw new CoordError(
    kind === "model" ? "MODEL_INVALID" : "DATA_INVALID",
    `The ${kind} ${hub.name} at ${settings.endpoint} has ${hub.path === undefined ? `no ${kind === "model" ? "config.json, tokenizer or .safetensors" : "data file that can be read"}` : `nothing named ${hub.path}`}; it has ${[...found.keys()].slice(0, 8).join(", ") || "no files"}.`,
  );
}

/** Turns what the hub's library throws into what to do about it. */
async function asking<T>(
  { hub, kind, settings, signal, stallTimeoutMs }: FetchOptions,
  ask: () => Promise<T>,
): Promise<T> {
  try {
    return await ask();
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof HubApiError)) {
      const late = thrown instanceof Error && thrown.name === "TimeoutError";
      const why = late ? `no answer within ${stallTimeoutMs / 1000} s (--download-stall-timeout-ms)` : reasonOf(thrown);
      throw failed(`${settings.endpoint}/${hub.name}`, why, thrown);
    }
    const { statusCode, url } = thrown;
    if (statusCode === 404 || statusCode === 401 || statusCode === 403) {
      throw new CoordError(
        kind === "model" ? "MODEL_INVALID" : "DATA_INVALID",
        `There is no ${kind} ${hub.name} with revision ${hub.revision} at ${settings.endpoint} (${statusCode}), and no ${kind === "model" ? "directory" : "file"} of that name here; check the name, or set HF_TOKEN if it is private.`,
        { cause: thrown },
      );
    }
    throw failed(url, `the server answers ${statusCode}`, thrown);
  }
}

/** The library takes tokens of the hub's own form only, so a mirror's is added here; it does not follow to other hosts. */
function apiFetch({ settings, signal, stallTimeoutMs }: FetchOptions): typeof fetch {
  return (input, init) =>
    fetch(input, {
      ...init,
      headers: { ...(init?.headers as Record<string, string> | undefined), ...authorization(settings) },
      signal: AbortSignal.any([signal, AbortSignal.timeout(stallTimeoutMs)]),
    });
}

function authorization({ token }: HubSettings): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

async function fetchFile(
  { hub, kind, settings, signal, stallTimeoutMs }: FetchOptions,
  { path, size, hash }: WantedFile,
  commit: string,
  root: string,
  onBytes: (done: number) => void,
): Promise<void> {
  const blob = join(root, "blobs", hash.value);
  const link = join(root, "snapshots", commit, path);
  const there = await stat(link).catch(() => undefined);
  if (there?.size === size) return onBytes(size);
  if ((await stat(blob).catch(() => undefined))?.size !== size) {
    const prefix = kind === "dataset" ? "datasets/" : "";
    const name = path.split("/").map(encodeURIComponent).join("/");
    const url = `${settings.endpoint}/${prefix}${hub.name}/resolve/${commit}/${name}`;
    await downloadFile({
      url,
      headers: authorization(settings),
      size,
      hash,
      path: blob,
      stallTimeoutMs,
      signal,
      onBytes,
    });
  }
  await mkdir(dirname(link), { recursive: true });
  if (await lstat(link).catch(() => undefined)) await rm(link);
  await symlink(relative(dirname(link), blob), link);
}

/** What an earlier download left. Throws DOWNLOAD_FAILED where it is not all there. */
async function findCached({ hub, kind, settings }: FetchOptions, root: string): Promise<FetchedRepo> {
  const missing = (what: string) =>
    new CoordError(
      "DOWNLOAD_FAILED",
      `HF_HUB_OFFLINE is set, and ${what} of the ${kind} ${hub.name} is not in ${settings.cacheDirectory}; unset it once to download.`,
    );
  const reference = await readFile(join(root, "refs", hub.revision), "utf8").catch(() => undefined);
  const commit = reference?.trim() ?? hub.revision;
  const directory = join(root, "snapshots", commit);
  const paths = await listCached(directory, join(root, "coord", `${commit}.${kind}.json`));
  const files = chooseFiles(paths, kind, hub.path).map((path) => join(directory, path));
  if (files.length === 0) throw missing(`revision ${hub.revision}`);
  for (const file of files) if (!(await stat(file).catch(() => undefined))) throw missing(relative(directory, file));
  return { directory, commit, files };
}

async function listCached(directory: string, list: string): Promise<string[]> {
  const known = await readFile(list, "utf8").catch(() => undefined);
  if (known !== undefined) return JSON.parse(known) as string[];
  // Python's download: what there is.
  const { glob } = await import("tinyglobby");
  return glob("**/*", { cwd: directory, dot: false }).catch(() => []);
}

async function writeIn(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
