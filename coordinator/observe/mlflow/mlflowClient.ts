import { z } from "zod";
import { CoordError } from "../../../shared/errors.ts";

/** One figure of one step, as MLflow's log-batch takes it. */
export interface Metric {
  readonly key: string;
  readonly value: number | string;
  /** Wall-clock milliseconds. */
  readonly timestamp: number;
  readonly step: number;
}

export type RunStatus = "RUNNING" | "FINISHED" | "FAILED" | "KILLED";

/** How to reach a tracking server, by the variables that MLflow's own client reads. */
export interface MlflowServer {
  /** "http://host:5000", without a slash at its end. */
  readonly url: string;
  readonly authorization?: string;
}

/** Milliseconds that a server has to answer. */
const timeoutMs = 10_000;

/** Reads MLFLOW_TRACKING_URI and its companions. Throws CONFIG_INVALID. */
export function mlflowServer(environment: Readonly<Record<string, string | undefined>>): MlflowServer {
  const uri = environment["MLFLOW_TRACKING_URI"] ?? "";
  if (!/^https?:\/\/[^/\s]/.test(uri)) {
    const given = uri === "" ? "which is not set" : `got ${JSON.stringify(uri)}`;
    throw new CoordError(
      "CONFIG_INVALID",
      `--report-to mlflow needs MLFLOW_TRACKING_URI to be the http(s) address of a tracking server, ${given}.`,
    );
  }
  const {
    MLFLOW_TRACKING_PASSWORD: password = "",
    MLFLOW_TRACKING_TOKEN: token,
    MLFLOW_TRACKING_USERNAME: user,
  } = environment;
  const basic = user && `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  const authorization = token ? `Bearer ${token}` : basic;
  return { url: uri.replace(/\/+$/, ""), ...(authorization ? { authorization } : {}) };
}

/**
 * The calls of MLflow's REST API (https://mlflow.org/docs/latest/rest-api.html) that a tracker needs. Each throws
 * MlflowError, which says whether the same call may succeed later.
 */
export class MlflowClient {
  constructor(private readonly server: MlflowServer) {}

  /** The experiment of that name, made where there is none. */
  async experiment(name: string): Promise<string> {
    try {
      const query = `experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`;
      return (await this.#call("GET", query, experimentSchema)).experiment.experiment_id;
    } catch (thrown) {
      if (!(thrown instanceof MlflowError && thrown.status === 404)) throw thrown;
    }
    return (await this.#call("POST", "experiments/create", createdSchema, { name })).experiment_id;
  }

  async createRun(run: {
    readonly experimentId: string;
    readonly name: string;
    readonly startMs: number;
    readonly tags: Readonly<Record<string, string>>;
  }): Promise<string> {
    const tags = Object.entries(run.tags).map(([key, value]) => ({ key, value }));
    const body = { experiment_id: run.experimentId, run_name: run.name, start_time: run.startMs, tags };
    return (await this.#call("POST", "runs/create", runSchema, body)).run.info.run_id;
  }

  /** The newest step of each metric that the server has of a run. */
  async newestSteps(runId: string): Promise<Map<string, number>> {
    const { run } = await this.#call("GET", `runs/get?run_id=${encodeURIComponent(runId)}`, runSchema);
    return new Map((run.data?.metrics ?? []).map(({ key, step }) => [key, Number(step)]));
  }

  /** At most 1000 metrics and 100 parameters. */
  async logBatch(
    runId: string,
    metrics: readonly Metric[],
    params: readonly { readonly key: string; readonly value: string }[] = [],
  ): Promise<void> {
    await this.#call("POST", "runs/log-batch", z.object({}), { run_id: runId, metrics, params });
  }

  async setStatus(runId: string, status: RunStatus, endMs?: number): Promise<void> {
    const end = endMs === undefined ? {} : { end_time: endMs };
    await this.#call("POST", "runs/update", z.object({}), { run_id: runId, status, ...end });
  }

  async #call<T>(method: "GET" | "POST", path: string, schema: z.ZodType<T>, body?: object): Promise<T> {
    const { authorization, url } = this.server;
    const answer = await fetch(`${url}/api/2.0/mlflow/${path}`, {
      method,
      headers: { ...(body && { "Content-Type": "application/json" }), ...(authorization && { authorization }) },
      signal: AbortSignal.timeout(timeoutMs),
      ...(body && { body: JSON.stringify(body) }),
    }).catch((cause: unknown) => {
      const why =
        cause instanceof Error ? ((cause.cause as Error | undefined)?.message ?? cause.message) : String(cause);
      throw new MlflowError(`${url} does not answer: ${why}`, undefined);
    });
    const text = await answer.text();
    if (!answer.ok) throw new MlflowError(`${url} answers ${answer.status}: ${text.slice(0, 300)}`, answer.status);
    const parsed = schema.safeParse(parseJson(text));
    if (!parsed.success) throw new MlflowError(`${url} is no MLflow server: ${text.slice(0, 100)}`, answer.status);
    return parsed.data;
  }
}

export class MlflowError extends Error {
  constructor(
    message: string,
    readonly status: number | undefined,
  ) {
    super(message);
  }

  /** True where the server was not there, or said that it is its own fault or a matter of time. */
  get mayPass(): boolean {
    return this.status === undefined || this.status >= 500 || this.status === 429 || this.status === 408;
  }
}

const experimentSchema = z.object({ experiment: z.object({ experiment_id: z.string() }) });
const createdSchema = z.object({ experiment_id: z.string() });
const runSchema = z.object({
  run: z.object({
    info: z.object({ run_id: z.string() }),
    data: z
      .object({ metrics: z.array(z.object({ key: z.string(), step: z.union([z.number(), z.string()]) })).optional() })
      .optional(),
  }),
});

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text === "" ? "{}" : text);
  } catch {
    return undefined;
  }
}
