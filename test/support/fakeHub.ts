import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const commit = "0123456789abcdef0123456789abcdef01234567";

export interface HubFile {
  readonly content: Buffer;
  /** Large files are announced by SHA-256, others by git's SHA-1. */
  readonly lfs?: boolean;
  /** Another hash than the content's. */
  readonly announced?: string;
}

/** Answers a request for a file in its own way; false to leave it to the hub. `from` is the first byte asked for. */
export type Misbehaviour = (request: IncomingMessage, response: ServerResponse, from: number) => boolean;

/** A server on this host that speaks what the program uses of the hub's protocol, and misbehaves when told to. */
export class FakeHub {
  /** Requests for files: "PATH from BYTE". */
  readonly downloads: string[] = [];
  readonly authorizations = new Set<string>();
  misbehave: Misbehaviour = () => false;
  readonly #server = createServer((request, response) => this.#answer(request, response));

  constructor(
    private readonly repo: string,
    private readonly files: Readonly<Record<string, HubFile>>,
  ) {}

  async start(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.authorizations.add(request.headers.authorization ?? "none");
    const path = decodeURIComponent(new URL(request.url!, "http://hub").pathname);
    const api = /^\/api\/(?:models|datasets)\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(path);
    if (api?.[1] === this.repo && ["main", "v1", commit].includes(api[3]!)) {
      const body =
        api[2] === "tree" ? this.#tree() : { _id: "1", id: this.repo, sha: commit, lastModified: "2026-01-01" };
      response.setHeader("content-type", "application/json").end(JSON.stringify(body));
      return;
    }
    const prefix = new RegExp(`^(?:/datasets)?/${this.repo}/resolve/${commit}/(.+)$`);
    const file = this.files[prefix.exec(path)?.[1] ?? ""];
    if (file === undefined) {
      response.writeHead(404, { "content-type": "application/json" }).end('{"error":"Repository not found"}');
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    this.downloads.push(`${prefix.exec(path)![1]} from ${from}`);
    if (this.misbehave(request, response, from)) return;
    const { length } = file.content;
    if (from > 0) response.writeHead(206, { "content-range": `bytes ${from}-${length - 1}/${length}` });
    response.end(file.content.subarray(from));
  }

  #tree() {
    return Object.entries(this.files).map(([path, { content, lfs, announced }]) => {
      const sha256 = announced ?? createHash("sha256").update(content).digest("hex");
      const git = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
      const size = content.length;
      return { type: "file", path, size, oid: git, ...(lfs && { lfs: { oid: sha256, size, pointerSize: 130 } }) };
    });
  }
}
