import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { CoordError } from "../errors.ts";

/** What a caller shows its coordinator, and how it knows the coordinator. */
export interface Credentials {
  /** Bearer token of the caller's role. */
  readonly token: string;
  /** Certificate authority (PEM text) that the coordinator's certificate must be of; absent for plaintext. */
  readonly tlsCa?: string;
  /** The caller's own certificate and private key (PEM text), where the coordinator asks for one. */
  readonly identity?: { readonly certificate: string; readonly key: string };
}

/** Text of a credentials file: the token in the first line, PEM blocks behind it. */
export function formatCredentials({ identity, tlsCa, token }: Credentials): string {
  const blocks = [tlsCa, identity?.certificate, identity?.key].filter((block) => block !== undefined);
  return `${[token, ...blocks.map((block) => block.trim())].join("\n")}\n`;
}

/** Reads a credentials file; one that holds a token alone is one too. Throws CONFIG_INVALID, naming `source`. */
export function parseCredentials(text: string, source: string): Credentials {
  const token = text.split("\n", 1)[0]!.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new CoordError("CONFIG_INVALID", `${source} does not begin with a line that holds a token.`);
  }
  const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g) ?? [];
  const key = blocks.find((block) => block.includes("PRIVATE KEY"));
  const certificates = blocks.filter((block) => block.startsWith("-----BEGIN CERTIFICATE-----"));
  const isAuthority = (block: string) => readCertificate(block, source).ca;
  const authorities = certificates.filter(isAuthority);
  const certificate = certificates.find((block) => !isAuthority(block));
  return {
    token,
    ...(authorities.length > 0 ? { tlsCa: authorities.join("\n") } : {}),
    ...(certificate && key ? { identity: { certificate, key } } : {}),
  };
}

/** Reads the credentials file at `path`, which setting or variable `name` gave. Throws CONFIG_INVALID. */
export function readCredentials(name: string, path: string): Credentials {
  return parseCredentials(readCredentialText(name, path), path);
}

/** The text of a file that must not be missing. Throws CONFIG_INVALID. */
export function readCredentialText(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new CoordError("CONFIG_INVALID", `${name} names ${path}, which cannot be read.`, { cause });
  }
}

function readCertificate(block: string, source: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch (cause) {
    throw new CoordError("CONFIG_INVALID", `${source} holds a certificate that cannot be read.`, { cause });
  }
}
