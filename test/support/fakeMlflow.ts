import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { text } from "node:stream/consumers";
import { z } from "zod";

/** Requests as MLflow's REST API documents them; anything else is refused as MLflow does. */
const keyValue = z.strictObject({ key: z.string().regex(/^[\w .\-/]{1,250}$/), value: z.string().max(6000) });
const metric = z.strictObject({
  key: z.string().regex(/^[\w .\-/]{1,250}$/),
  value: z.union([z.number(), z.enum(["NaN", "Infinity", "-Infinity"])]),
  timestamp: z.int().positive(),
  step: z.int().nonnegative(),
});
const requests = {
  "experiments/create": z.strictObject({ name: z.string().min(1) }),
  "runs/create": z.strictObject({
    experiment_id: z.string(),
    run_name: z.string(),
    start_time: z.int().positive(),
    tags: z.array(keyValue),
  }),
  "runs/log-batch": z.strictObject({
    run_id: z.string(),
    metrics: z.array(metric).max(1000),
    params: z.array(keyValue).max(100),
  }),
  "runs/update": z.strictObject({
    run_id: z.string(),
    status: z.enum(["RUNNING", "FINISHED", "FAILED", "KILLED"]),
    end_time: z.int().positive().optional(),
  }),
} as const;

type Point = z.infer<typeof metric>;

interface StoredRun {
  readonly id: string;
  readonly experiment: string;
  readonly name: string;
  readonly statuses: string[];
  readonly points: Point[];
  readonly params: Map<string, string>;
}

/** A tracking server in this process that keeps what it is sent and checks that each request is one of MLflow's API. */
export class FakeMlflow {
  readonly experiments: string[] = [];
  readonly runs: StoredRun[] = [];
  /** Requests that were refused, with the reason. */
  readonly refused: string[] = [];
  /** Answer this status to so many of the requests to come. */
  failing: { status: number; times: number } = { status: 503, times: 0 };
  readonly #server: Server;

  private constructor(private readonly token: string | undefined) {
    this.#server = createServer((request, response) => {
      void this.#handle(request).then(({ body, status }) => {
        response.writeHead(status, { "Content-Type": "application/json" });
        response.end(JSON.stringify(body));
      });
    });
  }

  static async start(token?: string): Promise<FakeMlflow> {
    const fake = new FakeMlflow(token);
    fake.#server.listen(0, "127.0.0.1");
    await once(fake.#server, "listening");
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #handle(request: IncomingMessage): Promise<{ status: number; body: object }> {
    const body = await text(request);
    if (this.failing.times > 0) {
      this.failing.times--;
      return { status: this.failing.status, body: { error_code: "TEMPORARILY_UNAVAILABLE", message: "Come again." } };
    }
    try {
      return { status: 200, body: this.#answer(request, body) };
    } catch (thrown) {
      const status = thrown instanceof Refusal ? thrown.status : 400;
      const message = (thrown as Error).message;
      if (status !== 404) this.refused.push(`${request.method} ${request.url}: ${message}`);
      return {
        status,
        body: { error_code: status === 404 ? "RESOURCE_DOES_NOT_EXIST" : "INVALID_PARAMETER_VALUE", message },
      };
    }
  }

  #answer({ headers, method, url = "" }: IncomingMessage, body: string): object {
    if (this.token !== undefined && headers.authorization !== `Bearer ${this.token}`) throw new Refusal("No.", 401);
    const { pathname, searchParams } = new URL(url, this.url);
    const call = /^\/api\/2\.0\/mlflow\/(.+)$/.exec(pathname)?.[1] ?? "";
    if (method === "GET" && call === "experiments/get-by-name") {
      return { experiment: { experiment_id: this.#experiment(searchParams.get("experiment_name")!), name: "" } };
    }
    if (method === "GET" && call === "runs/get") return this.#describe(this.#run(searchParams.get("run_id")!));
    if (method !== "POST" || !Object.hasOwn(requests, call)) throw new Refusal(`No such call: ${method} ${call}`, 405);
    if (!headers["content-type"]?.startsWith("application/json")) throw new Refusal("Not JSON.", 400);
    const content: unknown = JSON.parse(body);
    switch (call as keyof typeof requests) {
      case "experiments/create": {
        const { name } = requests["experiments/create"].parse(content);
        if (this.experiments.includes(name)) throw new Refusal(`${name} exists.`, 400);
        this.experiments.push(name);
        return { experiment_id: String(this.experiments.length) };
      }
      case "runs/create": {
        const { experiment_id, run_name } = requests["runs/create"].parse(content);
        const experiment = this.experiments[Number(experiment_id) - 1];
        if (experiment === undefined) throw new Refusal("No such experiment.", 404);
        const id = `mlflow-${this.runs.length + 1}`;
        const run = {
          id,
          experiment,
          name: run_name,
          statuses: ["RUNNING"],
          points: [],
          params: new Map<string, string>(),
        };
        this.runs.push(run);
        return this.#describe(run);
      }
      case "runs/log-batch": {
        const { metrics, params, run_id } = requests["runs/log-batch"].parse(content);
        const run = this.#run(run_id);
        for (const { key, value } of params) {
          if ((run.params.get(key) ?? value) !== value) throw new Refusal(`Parameter ${key} cannot be changed.`, 400);
          run.params.set(key, value);
        }
        run.points.push(...metrics);
        return {};
      }
      case "runs/update": {
        const { run_id, status } = requests["runs/update"].parse(content);
        this.#run(run_id).statuses.push(status);
        return { run_info: {} };
      }
    }
  }

  #experiment(name: string): string {
    const at = this.experiments.indexOf(name);
    if (at < 0) throw new Refusal(`No experiment ${name}.`, 404);
    return String(at + 1);
  }

  #run(id: string): StoredRun {
    const run = this.runs.find((one) => one.id === id);
    if (run === undefined) throw new Refusal(`No run ${id}.`, 404);
    return run;
  }

  /** `data.metrics` holds the latest point of each metric; an int64 is a string where MLflow's server writes it. */
  #describe({ id, points }: StoredRun): object {
    const latest = new Map(points.map((point) => [point.key, { ...point, step: String(point.step) }]));
    return { run: { info: { run_id: id, run_uuid: id }, data: { metrics: [...latest.values()] } } };
  }
}

class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}
