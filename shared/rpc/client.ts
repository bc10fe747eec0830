import { once } from "node:events";
import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { GenService } from "@bufbuild/protobuf/codegenv2";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { CoordError } from "../errors.ts";
import { callWithFaults, nextCallFaults, streamWithFaults } from "./callFaults.ts";
import { connectMs, createClient, isSilent } from "./channel.ts";
import type { Credentials } from "./credentials.ts";
import { type Init, methodDefinition } from "./serviceDefinition.ts";
import { fromServiceError } from "./status.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds until the call fails with COORDINATOR_UNREACHABLE; default none. */
  readonly timeoutMs?: number;
}

interface MethodShape {
  readonly methodKind: string;
  readonly input: DescMessage;
  readonly output: DescMessage;
}

type Caller<M extends MethodShape> = M["methodKind"] extends "unary"
  ? (request: MessageInitShape<M["input"]>, options?: CallOptions) => Promise<MessageShape<M["output"]>>
  : M["methodKind"] extends "server_streaming"
    ? (request: MessageInitShape<M["input"]>, options?: CallOptions) => AsyncIterable<MessageShape<M["output"]>>
    : M["methodKind"] extends "bidi_streaming"
      ? (
          requests: AsyncIterable<MessageInitShape<M["input"]>>,
          options?: CallOptions,
        ) => AsyncIterable<MessageShape<M["output"]>>
      : (
          requests: Iterable<MessageInitShape<M["input"]>> | AsyncIterable<MessageInitShape<M["input"]>>,
          options?: CallOptions,
        ) => Promise<MessageShape<M["output"]>>;

/** One function per method of a service; failures are CoordErrors. */
export type ServiceClient<S> = S extends GenService<infer Shape> ? { [K in keyof Shape]: Caller<Shape[K]> } : never;

/** How to reach a coordinator. */
export interface Endpoint extends Credentials {
  /** "host:port". */
  readonly address: string;
}

/** One connection to a coordinator. Bulk uploads, bulk downloads and control each take their own. */
export class Connection {
  #client: Client;
  readonly #metadata = new Metadata();
  readonly #services = new Map<DescService, object>();

  constructor(readonly endpoint: Endpoint) {
    this.#metadata.set("authorization", `Bearer ${endpoint.token}`);
    this.#client = createClient(endpoint.address, endpoint);
  }

  /**
   * Waits until there is a connection, or none can be had: the next call says why. An attempt that hears nothing for
   * three seconds is given up for a new one: in a network that drops packets TCP would repeat it after ever longer times,
   * and be late when the network is mended. Throws COORDINATOR_UNREACHABLE then, and the signal's reason.
   */
  async reach(signal: AbortSignal): Promise<void> {
    if (!(await isSilent(this.#client.getChannel(), signal))) return;
    this.renew();
    throw new CoordError(
      "COORDINATOR_UNREACHABLE",
      `The coordinator at ${this.endpoint.address} has not answered for ${connectMs / 1000} s.`,
    );
  }

  /** Has the next call begin a connection of its own. Calls at work end. */
  renew(): void {
    this.#client.close();
    this.#client = createClient(this.endpoint.address, this.endpoint);
  }

  /** The calls of a service over this connection. */
  service<S extends DescService>(service: S): ServiceClient<S> {
    let client = this.#services.get(service);
    if (!client) {
      client = Object.fromEntries(service.methods.map((method) => [method.localName, this.#caller(method)]));
      this.#services.set(service, client);
    }
    return client as ServiceClient<S>;
  }

  close(): void {
    this.#client.close();
  }

  #caller(method: DescMethod) {
    switch (method.methodKind) {
      case "unary":
        return (request: Init, options: CallOptions = {}) => {
          const faults = nextCallFaults(method);
          const call = (message: Init) => this.#unary(method, message, options);
          return faults ? callWithFaults(faults, request, call) : call(request);
        };
      case "server_streaming":
        return (request: Init, options: CallOptions = {}) => {
          const faults = nextCallFaults(method);
          const call = () => this.#serverStream(method, request, options);
          return faults ? streamWithFaults(faults, isEndless(method), call) : call();
        };
      case "bidi_streaming":
        return (requests: AsyncIterable<Init>, options: CallOptions = {}) => {
          const faults = nextCallFaults(method);
          const call = () => this.#duplexStream(method, requests, options);
          return faults ? streamWithFaults(faults, isEndless(method), call) : call();
        };
      default:
        return (requests: Iterable<Init> | AsyncIterable<Init>, options: CallOptions = {}) => {
          const faults = nextCallFaults(method);
          const call = (messages: typeof requests) => this.#clientStream(method, messages, options);
          return faults ? callWithFaults(faults, requests, call) : call(requests);
        };
    }
  }

  #callOptions(options: CallOptions) {
    return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };
  }

  #unary(method: DescMethod, request: Init, options: CallOptions): Promise<object> {
    const definition = methodDefinition(method);
    return this.#settle(options, (callback) =>
      this.#client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request,
        this.#metadata,
        this.#callOptions(options),
        callback,
      ),
    );
  }

  #clientStream(
    method: DescMethod,
    requests: Iterable<Init> | AsyncIterable<Init>,
    options: CallOptions,
  ): Promise<object> {
    const definition = methodDefinition(method);
    return this.#settle(options, (callback) => {
      const stream = this.#client.makeClientStreamRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        this.#metadata,
        this.#callOptions(options),
        callback,
      );
      // The call's own callback reports failures; writing to a stream that has failed adds nothing.
      stream.on("error", () => {});
      pump(requests, stream).catch(() => stream.cancel());
      return stream;
    });
  }

  #settle(
    options: CallOptions,
    start: (callback: (error: ServiceError | null, response?: object) => void) => { cancel(): void },
  ): Promise<object> {
    return new Promise((resolve, reject) => {
      if (options.signal?.aborted) return reject(options.signal.reason);
      const call = start((error, response) => {
        options.signal?.removeEventListener("abort", cancel);
        if (options.signal?.aborted) reject(options.signal.reason);
        else if (error) reject(fromServiceError(error, this.endpoint.address));
        else resolve(response!);
      });
      const cancel = () => call.cancel();
      options.signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  async *#serverStream(method: DescMethod, request: Init, options: CallOptions): AsyncIterable<object> {
    options.signal?.throwIfAborted();
    const definition = methodDefinition(method);
    const stream: ClientReadableStream<object> = this.#client.makeServerStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      request,
      this.#metadata,
      this.#callOptions(options),
    );
    yield* this.#responses(stream, options);
  }

  async *#duplexStream(
    method: DescMethod,
    requests: AsyncIterable<Init>,
    options: CallOptions,
  ): AsyncGenerator<object> {
    options.signal?.throwIfAborted();
    const definition = methodDefinition(method);
    const stream = this.#client.makeBidiStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize as (bytes: Buffer) => object,
      this.#metadata,
      this.#callOptions(options),
    );
    pump(requests, stream).catch(() => stream.cancel());
    yield* this.#responses(stream, options);
  }

  async *#responses(stream: ClientReadableStream<object>, options: CallOptions): AsyncGenerator<object> {
    const cancel = () => stream.cancel();
    options.signal?.addEventListener("abort", cancel, { once: true });
    try {
      for await (const response of stream) yield response;
      // A cancelled stream can end without an error; silence must not pass for completeness.
      options.signal?.throwIfAborted();
    } catch (thrown) {
      options.signal?.throwIfAborted();
      throw isServiceError(thrown) ? fromServiceError(thrown, this.endpoint.address) : thrown;
    } finally {
      options.signal?.removeEventListener("abort", cancel);
      stream.cancel();
    }
  }
}

/** A stream that lasts as long as its caller: the methods of which repeating is not harmless. */
function isEndless({ idempotency }: DescMethod): boolean {
  return idempotency === MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN;
}

/** Writes requests as fast as they are taken, until they or the call end. */
async function pump(
  requests: Iterable<Init> | AsyncIterable<Init>,
  stream: ClientWritableStream<Init> | ClientDuplexStream<Init, object>,
): Promise<void> {
  const ended = closed(stream);
  for await (const request of requests) {
    if (stream.destroyed || stream.writableEnded) return;
    if (!stream.write(request)) await Promise.race([once(stream, "drain"), ended]);
  }
  stream.end();
}

function closed(stream: NodeJS.EventEmitter): Promise<void> {
  return new Promise((resolve) => {
    stream.once("close", resolve);
    stream.once("error", () => resolve());
    stream.once("status", () => resolve());
  });
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && "code" in thrown && "metadata" in thrown;
}
