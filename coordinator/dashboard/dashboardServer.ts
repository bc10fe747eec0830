import { timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { isLoopback } from "../../shared/config/tlsMode.ts";
import { CoordError, type ErrorCode, toCoordError } from "../../shared/errors.ts";
import { listRuns } from "../runs/findRun.ts";
import { runLiveness } from "../runs/runLiveness.ts";
import type { TlsIdentity } from "../server.ts";
import { allowedNames, bearerToken, hostName, type Route, routeOf } from "./access.ts";
import type { Assets } from "./assets.ts";
import { type OwnRun, openRun, type RunAccess } from "./runAccess.ts";
import { RunFeed } from "./runFeed.ts";
import { tailLogs } from "./tailLogs.ts";

export interface DashboardOptions {
  /** COORD_HOME. */
  readonly home: string;
  /** The run that the page begins with. */
  readonly runId: string;
  /** Present where the run's coordinator serves the page. */
  readonly own?: OwnRun;
  /** Text for Prometheus; absent where nobody collects it. */
  readonly metrics?: () => Promise<{ readonly type: string; readonly body: string }>;
  readonly assets: Assets;
  /** Address to listen on. */
  readonly listen: string;
  /** Other names of this host. */
  readonly names: readonly string[];
  readonly tls?: TlsIdentity | undefined;
}

/** Bytes that may wait for a page that does not read before its stream is cut; it comes again by itself. */
const mostPendingBytes = 16 * 1024 * 1024;
const mostBodyBytes = 4096;
const logLines = 1000;

/** Milliseconds between two comments that keep proxies from cutting a silent stream. */
const keepAliveMs = 15_000;

/**
 * Serves the dashboard's page and what it shows. Whoever reaches a loopback address may read; steering needs the run's
 * admin token, and so does reading from any other address, where the viewer's token is enough for /metrics. A Host header with a strange name is refused.
 */
export class DashboardServer {
  readonly #options: DashboardOptions;
  readonly #server: Server;
  readonly #names: ReadonlySet<string>;
  readonly #feeds = new Map<string, Promise<RunFeed>>();
  readonly #open: boolean;

  constructor(options: DashboardOptions) {
    this.#options = options;
    this.#open = isLoopback(options.listen);
    this.#names = allowedNames(options.listen, options.names);
    const handle = (request: IncomingMessage, response: ServerResponse) => void this.#handle(request, response);
    const { tls } = options;
    this.#server = tls ? createTlsServer({ cert: tls.certificate, key: tls.key }, handle) : createServer(handle);
    this.#server.headersTimeout = 10_000;
    this.#server.requestTimeout = 30_000;
  }

  /** Binds and returns the port. Throws the system's EADDRINUSE as it is. */
  async listen(port: number): Promise<number> {
    this.#server.listen(port, this.#options.listen);
    await once(this.#server, "listening");
    return (this.#server.address() as { port: number }).port;
  }

  async close(): Promise<void> {
    for (const feed of this.#feeds.values()) (await feed.catch(() => undefined))?.close();
    this.#feeds.clear();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
    try {
      const url = new URL(request.url ?? "/", "http://localhost");
      const route = routeOf(request.method, url.pathname);
      // A scraper asks by the pod's address; its token proves more than a name does.
      const byToken = route?.kind === "metrics" && !this.#open;
      const name = hostName(request.headers.host);
      if (!byToken && (name === undefined || !this.#names.has(name))) {
        throw new HttpError(421, "This dashboard is not served under that name.");
      }
      if (route === undefined) throw new HttpError(404, "There is nothing here.");
      await this.#answer(route, url.searchParams, request, response);
    } catch (thrown) {
      const { message, status } = httpError(thrown);
      if (response.headersSent) response.destroy();
      else sendJson(response, status, { message });
    }
  }

  async #answer(route: Route, query: URLSearchParams, request: IncomingMessage, response: ServerResponse) {
    const { assets, metrics, runId } = this.#options;
    switch (route.kind) {
      case "page":
        response.setHeader("Cache-Control", "no-cache");
        return send(response, 200, assets.page.type, assets.page.body);
      case "asset": {
        const asset = assets.byName.get(route.name);
        if (!asset) throw new HttpError(404, "There is no such file.");
        // Its name holds a hash of its content.
        response.setHeader("Cache-Control", "public, max-age=31536000, immutable");
        return send(response, 200, asset.type, asset.body);
      }
      case "metrics": {
        if (!metrics) throw new HttpError(404, "Metrics are served by a run's coordinator: coord launch --dashboard.");
        if (!this.#open) await this.#requireToken(request, runId, "viewer");
        const { body, type } = await metrics();
        return send(response, 200, type, Buffer.from(body));
      }
      case "runs":
        if (!this.#open) await this.#requireToken(request, runId);
        return sendJson(response, 200, { current: runId, runs: await this.#runs() });
      case "run":
        // With the token of the run that is served; runs of one home belong to one user.
        if (!this.#open) await this.#requireToken(request, runId);
        return this.#show(await this.#feed(route.runId), route.what, query, response);
      case "steer":
        await this.#requireToken(request, route.runId);
        return this.#steer((await this.#feed(route.runId)).access, route.wish, request, response);
    }
  }

  async #show(feed: RunFeed, what: string, query: URLSearchParams, response: ServerResponse): Promise<void> {
    const { run, directory } = feed.access.selected;
    switch (what) {
      case "stream":
        return this.#stream(feed, response);
      case "history":
        return sendJson(response, 200, await feed.history());
      case "logs": {
        const rank = query.get("rank") ?? "run";
        if (!/^(run|all|\d{1,6})$/.test(rank)) throw new HttpError(400, "rank must be a number, run or all.");
        const of = rank === "run" || rank === "all" ? rank : Number(rank);
        return sendJson(response, 200, await tailLogs(directory.paths.logs, of, logLines));
      }
      default:
        return sendJson(response, 200, {
          status: await feed.access.status(),
          config: run.config,
          createdAtMs: run.createdAtMs,
          tokenFile: directory.paths.adminToken,
        });
    }
  }

  /** Server-sent events; the first one holds everything so far. */
  async #stream(feed: RunFeed, response: ServerResponse): Promise<void> {
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store" });
    const unwatch = await feed.watch((message) => {
      if (response.writableLength > mostPendingBytes) response.destroy();
      else response.write(`data: ${JSON.stringify(message)}\n\n`);
    });
    const beat = setInterval(() => response.write(": still here\n\n"), keepAliveMs);
    const end = () => {
      clearInterval(beat);
      unwatch();
    };
    if (response.destroyed) end();
    else response.once("close", end);
  }

  async #steer(run: RunAccess, wish: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readJson(request);
    switch (wish) {
      case "stop":
        await run.stop(body["now"] === true);
        return sendJson(response, 202, {});
      case "checkpoint":
        return sendJson(response, 202, { after: await run.saveCheckpoint() });
      default: {
        const { saveSteps } = body;
        if (!Number.isSafeInteger(saveSteps) || Number(saveSteps) < 0) {
          throw new HttpError(400, "saveSteps must be a whole number from 0.");
        }
        return sendJson(response, 200, await run.set({ saveSteps: Number(saveSteps) }));
      }
    }
  }

  /** The admin's token is always good, the viewer's where that is enough. */
  async #requireToken(request: IncomingMessage, runId: string, least: "admin" | "viewer" = "admin"): Promise<void> {
    const { directory } = (await this.#feed(runId)).access.selected;
    const known = [await directory.readAdminCredentials()];
    if (least === "viewer") known.push(await directory.readViewerCredentials());
    const given = Buffer.from(bearerToken(request.headers.authorization));
    for (const { token } of known) {
      const expected = Buffer.from(token);
      if (given.length === expected.length && timingSafeEqual(given, expected)) return;
    }
    throw new CoordError("UNAUTHENTICATED", "This needs the run's admin token.");
  }

  async #runs() {
    const runs = await listRuns(this.#options.home);
    return Promise.all(
      runs.flatMap(({ directory, run, runId }) =>
        run === undefined
          ? []
          : [
              (async () => {
                const result = await directory.readResult().catch(() => undefined);
                const state = result?.state ?? (await runLiveness(directory));
                return { run: runId, state, createdAtMs: run.createdAtMs, output: run.output };
              })(),
            ],
      ),
    );
  }

  #feed(runId: string): Promise<RunFeed> {
    let feed = this.#feeds.get(runId);
    if (feed === undefined) {
      feed = openRun(this.#options.home, runId, this.#options.own).then((access) => new RunFeed(access));
      this.#feeds.set(runId, feed);
      feed.catch(() => this.#feeds.delete(runId));
    }
    return feed;
  }
}

/** Nothing from outside, no inline script or style, no frame around it, no guessing of types. */
const securityHeaders = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
} as const;

class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const statusOf: Partial<Record<ErrorCode, number>> = {
  RUN_NOT_FOUND: 404,
  UNAUTHENTICATED: 401,
  INVALID_REQUEST: 409,
  COORDINATOR_UNREACHABLE: 409,
};

function httpError(thrown: unknown): { status: number; message: string } {
  if (thrown instanceof HttpError) return thrown;
  const error = toCoordError(thrown);
  const status = statusOf[error.code] ?? 500;
  return { status, message: error.code === "INTERNAL" ? "A defect in coord." : error.message };
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.setHeader("Cache-Control", "no-store");
  send(response, status, "application/json; charset=utf-8", Buffer.from(JSON.stringify(value)));
}

function send(response: ServerResponse, status: number, type: string, body: Buffer): void {
  response.writeHead(status, { "Content-Type": type, "Content-Length": body.length });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > mostBodyBytes) throw new HttpError(413, `A request may have ${mostBodyBytes} bytes.`);
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8") || "{}");
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new HttpError(400, "The request must be a JSON object.");
}
