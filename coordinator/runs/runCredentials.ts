import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";
import type { RunConfig } from "../../shared/config/schema.ts";
import { tlsMode } from "../../shared/config/tlsMode.ts";
import { assertNever } from "../../shared/errors.ts";
import { errorCode, fileError, writeFileAtomic } from "../../shared/process/atomicFile.ts";
import {
  type Credentials,
  formatCredentials,
  parseCredentials,
  readCredentialText,
} from "../../shared/rpc/credentials.ts";
import type { RunPaths } from "../../shared/runPaths.ts";
import type { RoleTokens } from "../access.ts";
import type { TlsIdentity } from "../server.ts";
import { type CertificateAndKey, covers, issueCertificates } from "./issueCertificates.ts";

/** Bytes of a token: 256 bits. */
const tokenBytes = 32;

/** A certificate that runs out sooner than this is replaced when the coordinator starts, in milliseconds. */
const renewBeforeMs = 30 * 86_400_000;

export function newToken(): string {
  return randomBytes(tokenBytes).toString("base64url");
}

/** What a coordinator listens with. */
export interface ServerCredentials {
  readonly tokens: RoleTokens;
  readonly tls: TlsIdentity | undefined;
}

type CredentialPaths = Pick<RunPaths, "token" | "viewerToken" | "adminToken" | "tls">;

/**
 * Sees to it that the run's directory holds what agents, watchers and commands need to be let in (mode 0600), and
 * returns what the coordinator needs to let them in. For the holder of the run's lock, before it listens.
 */
export async function prepareCredentials(paths: CredentialPaths, config: RunConfig): Promise<ServerCredentials> {
  const files = { worker: paths.token, viewer: paths.viewerToken, admin: paths.adminToken };
  const before = {
    worker: await readIfThere(files.worker),
    viewer: await readIfThere(files.viewer),
    admin: await readIfThere(files.admin),
  };
  const tokens: RoleTokens = {
    worker: before.worker?.token ?? newToken(),
    viewer: before.viewer?.token ?? newToken(),
    admin: before.admin?.token ?? newToken(),
  };
  const { server, caller } = await prepareTls(paths.tls, config, before.worker);
  for (const role of ["worker", "viewer", "admin"] as const) {
    await writeFileAtomic(files[role], formatCredentials({ token: tokens[role], ...caller }), { mode: 0o600 });
  }
  return { tokens, tls: server };
}

interface Tls {
  readonly server: TlsIdentity | undefined;
  /** What callers get beside their token. */
  readonly caller: Omit<Credentials, "token">;
}

async function prepareTls(path: string, config: RunConfig, before: Credentials | undefined): Promise<Tls> {
  const mode = tlsMode(config);
  switch (mode) {
    case "none":
      return { server: undefined, caller: {} };
    case "files":
      return {
        server: {
          certificate: readCredentialText("--tls-cert", config.tlsCert!),
          key: readCredentialText("--tls-key", config.tlsKey!),
        },
        caller: config.tlsCa === undefined ? {} : { tlsCa: readCredentialText("--tls-ca", config.tlsCa) },
      };
    case "run":
      return ownTls(path, namesOf(config), before);
    default:
      return assertNever(mode);
  }
}

/** Certificates of the run's own authority: those that agents of an earlier coordinator already have, where they still do. */
async function ownTls(path: string, names: readonly string[], before: Credentials | undefined): Promise<Tls> {
  const { identity, tlsCa } = before ?? {};
  const kept = await readPair(path);
  if (kept && tlsCa && identity && covers(kept.certificate, tlsCa, names, renewBeforeMs)) {
    return { server: { ...kept, clientCa: tlsCa }, caller: { tlsCa, identity } };
  }
  const { ca, client, server } = await issueCertificates(names);
  await writeFileAtomic(path, `${server.certificate}\n${server.key}\n`, { mode: 0o600 });
  return { server: { ...server, clientCa: ca }, caller: { tlsCa: ca, identity: client } };
}

async function readPair(path: string): Promise<CertificateAndKey | undefined> {
  const text = await readText(path);
  const [certificate, key] = text?.match(/-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g) ?? [];
  return certificate && key ? { certificate, key } : undefined;
}

/** Names and addresses under which callers may look for the coordinator. */
function namesOf({ advertise, listen }: RunConfig): string[] {
  const everywhere = listen === "0.0.0.0" || listen === "::";
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  // Link-local addresses come with a zone, which certificates do not know.
  const bound = everywhere ? addresses.map(({ address }) => address).filter((a) => !a.startsWith("fe80:")) : [listen];
  return [
    ...new Set([...(advertise === undefined ? [] : [advertise]), hostname(), "localhost", "127.0.0.1", ...bound]),
  ];
}

async function readIfThere(path: string): Promise<Credentials | undefined> {
  const text = await readText(path);
  return text === undefined ? undefined : parseCredentials(text, path);
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (errorCode(thrown) === "ENOENT") return undefined;
    throw fileError(thrown, "read", path);
  }
}
