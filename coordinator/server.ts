import { timingSafeEqual } from "node:crypto";
import type { DescService } from "@bufbuild/protobuf";
import {
  type Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { CoordError } from "../shared/errors.ts";
import type { Logger } from "../shared/log.ts";
import { receiveWindowBytes, serverLimits } from "../shared/rpc/limits.ts";
import { setReceiveWindow } from "../shared/rpc/receiveWindow.ts";
import { addService, type Handlers } from "../shared/rpc/server.ts";

/** Certificate and key (PEM) of the coordinator. */
export interface TlsIdentity {
  readonly certificate: Buffer;
  readonly key: Buffer;
}

/** The health service is open to everybody: probes have no token. */
const openPrefix = "/grpc.health.v1.Health/";

/** The coordinator's gRPC server: every call but the health service's needs the run's token, checked before its body is read. */
export class CoordinatorServer {
  readonly #server: Server;
  readonly #health = new HealthImplementation({ "": "SERVING" });

  constructor(
    token: string,
    private readonly logger: Logger,
    private readonly tls: TlsIdentity | undefined,
  ) {
    this.#server = new Server({ ...serverLimits, interceptors: [requireToken(token)] });
    setReceiveWindow(this.#server, receiveWindowBytes);
    this.#health.addToServer(this.#server);
  }

  add<S extends DescService>(service: S, handlers: Handlers<S>): void {
    addService(this.#server, service, handlers, (method, thrown) =>
      this.logger.error({ method, err: thrown }, "a handler failed"),
    );
  }

  /** Binds `host:port` (0 for any) and returns the port really bound. Throws the system's EADDRINUSE as it is. */
  async listen(host: string, port: number): Promise<number> {
    const credentials = this.tls
      ? ServerCredentials.createSsl(null, [{ cert_chain: this.tls.certificate, private_key: this.tls.key }])
      : ServerCredentials.createInsecure();
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(`${host}:${port}`, credentials, (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
  }

  /** Lets calls in progress finish for a moment, then hangs up. */
  async close(graceMs: number): Promise<void> {
    this.#health.setStatus("", "NOT_SERVING");
    const timer = setTimeout(() => this.#server.forceShutdown(), graceMs);
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    clearTimeout(timer);
  }
}

function requireToken(token: string): ServerInterceptor {
  const expected = Buffer.from(`Bearer ${token}`);
  return (method, call) =>
    new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata(metadata, nextMetadata) {
            if (method.path.startsWith(openPrefix) || matches(metadata, expected)) nextMetadata(metadata);
            else call.sendStatus(unauthenticated);
          },
        });
      },
    });
}

const unauthenticated = {
  code: status.UNAUTHENTICATED,
  details: new CoordError("UNAUTHENTICATED", "The run's token is missing or wrong.").message,
};

function matches(metadata: Metadata, expected: Buffer): boolean {
  const [sent] = metadata.get("authorization");
  const given = Buffer.from(typeof sent === "string" ? sent : "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}
