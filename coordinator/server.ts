import type { DescService } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { Logger } from "../shared/log.ts";
import { receiveWindowBytes, serverLimits } from "../shared/rpc/limits.ts";
import { setReceiveWindow } from "../shared/rpc/receiveWindow.ts";
import { addService, type Handlers } from "../shared/rpc/server.ts";
import { Access, type RoleTokens } from "./access.ts";

/** What the coordinator shows, and whom it lets in, in PEM. */
export interface TlsIdentity {
  readonly certificate: Buffer | string;
  readonly key: Buffer | string;
  /** Authority that callers' certificates must be of; absent where callers need none. */
  readonly clientCa?: Buffer | string;
}

/** The coordinator's gRPC server: every call but the health service's needs a token that allows it, checked before its body is read. */
export class CoordinatorServer {
  readonly #server: Server;
  readonly #access: Access;
  readonly #health = new HealthImplementation({ "": "SERVING" });

  constructor(
    tokens: RoleTokens,
    private readonly logger: Logger,
    private readonly tls: TlsIdentity | undefined,
  ) {
    this.#access = new Access(tokens);
    this.#server = new Server({ ...serverLimits, interceptors: [this.#access.interceptor] });
    setReceiveWindow(this.#server, receiveWindowBytes);
    this.#health.addToServer(this.#server);
  }

  add<S extends DescService>(service: S, handlers: Handlers<S>): void {
    this.#access.add(service);
    addService(this.#server, service, handlers, (method, thrown) =>
      this.logger.error({ method, err: thrown }, "a handler failed"),
    );
  }

  /** Binds `host:port` (0 for any) and returns the port really bound. Throws the system's EADDRINUSE as it is. */
  async listen(host: string, port: number): Promise<number> {
    const credentials = credentialsOf(this.tls);
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`${host}:${port}`, credentials, (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
  }

  /** Lets calls in progress finish for a moment, then hangs up. */
  async close(graceMs: number): Promise<void> {
    this.#health.setStatus("", "NOT_SERVING");
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#server.forceShutdown();
        // grpc-js may count a connection for ever that broke while it was being closed: nobody is to wait for that.
        setImmediate(resolve);
      }, graceMs);
      this.#server.tryShutdown(() => resolve());
    });
    clearTimeout(timer);
  }
}

function credentialsOf(tls: TlsIdentity | undefined): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure();
  const pair = { cert_chain: Buffer.from(tls.certificate), private_key: Buffer.from(tls.key) };
  const { clientCa } = tls;
  return clientCa === undefined
    ? ServerCredentials.createSsl(null, [pair])
    : ServerCredentials.createSsl(Buffer.from(clientCa), [pair], true);
}
