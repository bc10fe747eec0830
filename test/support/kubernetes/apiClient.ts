import { request } from "node:https";

/** A Kubernetes object as the API server gives it. */
export interface ApiObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
    readonly deletionGracePeriodSeconds?: number;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: the fields differ by kind, and the tests that read them name them
  readonly [field: string]: any;
}

/** Speaks to an API server with a token, in JSON. */
export class ApiClient {
  constructor(
    private readonly server: { readonly port: number; readonly token: string; readonly ca: string | Buffer },
  ) {}

  get(path: string): Promise<ApiObject> {
    return this.#call("GET", path);
  }

  async list(path: string): Promise<ApiObject[]> {
    return (await this.#call("GET", path))["items"];
  }

  create(path: string, body: object): Promise<ApiObject> {
    return this.#call("POST", path, body);
  }

  patch(path: string, body: object): Promise<ApiObject> {
    return this.#call("PATCH", path, body);
  }

  /** Removes an object at once, as the kubelet does when a pod's processes have ended. */
  remove(path: string, options: object = { gracePeriodSeconds: 0 }): Promise<ApiObject> {
    return this.#call("DELETE", path, options);
  }

  #call(method: string, path: string, body?: object): Promise<ApiObject> {
    const { ca, port, token } = this.server;
    const type = method === "PATCH" ? "application/strategic-merge-patch+json" : "application/json";
    return new Promise((resolve, reject) => {
      const text = body === undefined ? "" : JSON.stringify(body);
      // Without a length, Node would send a DELETE's body as if it were the connection's next request.
      const length = Buffer.byteLength(text);
      const headers = { authorization: `Bearer ${token}`, "content-type": type, "content-length": length };
      const call = request({ host: "127.0.0.1", port, path, method, ca, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const reply = Buffer.concat(chunks).toString();
          if ((response.statusCode ?? 500) < 300) resolve(JSON.parse(reply));
          else reject(new Error(`${method} ${path}: ${response.statusCode} ${reply.slice(0, 500)}`));
        });
      });
      call.on("error", reject);
      call.end(text);
    });
  }
}
