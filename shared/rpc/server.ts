import { once } from "node:events";
import type { DescMessage, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { GenService } from "@bufbuild/protobuf/codegenv2";
import type {
  handleUnaryCall,
  Server,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { CoordError } from "../errors.ts";
import { type Init, serviceDefinition } from "./serviceDefinition.ts";
import { toStatus } from "./status.ts";

/** What a handler knows of its call. */
export interface CallContext {
  /** Aborted when the caller hangs up. */
  readonly signal: AbortSignal;
}

interface MethodShape {
  readonly methodKind: string;
  readonly input: DescMessage;
  readonly output: DescMessage;
}

type Handler<M extends MethodShape> = M["methodKind"] extends "unary"
  ? (request: MessageShape<M["input"]>, context: CallContext) => Promise<MessageInitShape<M["output"]>>
  : M["methodKind"] extends "server_streaming"
    ? (request: MessageShape<M["input"]>, context: CallContext) => AsyncIterable<MessageInitShape<M["output"]>>
    : M["methodKind"] extends "bidi_streaming"
      ? (
          requests: AsyncIterable<MessageShape<M["input"]>>,
          context: CallContext,
        ) => AsyncIterable<MessageInitShape<M["output"]>>
      : (
          requests: AsyncIterable<MessageShape<M["input"]>>,
          context: CallContext,
        ) => Promise<MessageInitShape<M["output"]>>;

/** One function per method of a service. */
export type Handlers<S> = S extends GenService<infer Shape> ? { [K in keyof Shape]: Handler<Shape[K]> } : never;

/** Adds a service to a server; thrown CoordErrors reach the caller with their code, others are given to `onError`. */
export function addService<S extends DescService>(
  server: Server,
  service: S,
  handlers: Handlers<S>,
  onError: (method: string, thrown: unknown) => void,
): void {
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    const handler = (handlers as Record<string, unknown>)[method.localName];
    const fail = (thrown: unknown) => {
      if (!(thrown instanceof CoordError) && !isHangUp(thrown)) onError(`${service.typeName}/${method.name}`, thrown);
      return toStatus(thrown);
    };
    implementation[method.localName] = adapt(method.methodKind, handler as never, fail) as never;
  }
  server.addService(serviceDefinition(service), implementation);
}

type AnyHandler = (request: unknown, context: CallContext) => Promise<Init> & AsyncIterable<Init>;

function adapt(kind: string, handler: AnyHandler, fail: (thrown: unknown) => object) {
  switch (kind) {
    case "unary":
      return (call: ServerUnaryCall<unknown, unknown>, callback: Parameters<handleUnaryCall<unknown, unknown>>[1]) => {
        handler(call.request, { signal: hangUpSignal(call) }).then(
          (response) => callback(null, response),
          (thrown: unknown) => callback(fail(thrown)),
        );
      };
    case "server_streaming":
      return (call: ServerWritableStream<unknown, unknown>) => {
        const signal = hangUpSignal(call);
        return respond(call, handler(call.request, { signal }), signal, fail);
      };
    case "bidi_streaming":
      return (call: ServerDuplexStream<unknown, unknown>) => {
        const signal = hangUpSignal(call);
        signal.addEventListener("abort", () => call.destroy(new HangUp()));
        // A handler that stops reading has not done writing.
        const requests = call.iterator({ destroyOnReturn: false });
        return respond(call, handler(requests, { signal }), signal, fail);
      };
    default:
      return (
        call: ServerReadableStream<unknown, unknown>,
        callback: Parameters<handleUnaryCall<unknown, unknown>>[1],
      ) => {
        const signal = hangUpSignal(call);
        // A cancelled call never ends on its own: without this a reader would wait for ever.
        signal.addEventListener("abort", () => call.destroy(new HangUp()));
        handler(call, { signal }).then(
          (response) => callback(null, response),
          (thrown: unknown) => callback(fail(thrown)),
        );
      };
  }
}

async function respond(
  call: ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>,
  responses: AsyncIterable<Init>,
  signal: AbortSignal,
  fail: (thrown: unknown) => object,
): Promise<void> {
  try {
    for await (const response of responses) {
      signal.throwIfAborted();
      if (!call.write(response)) await once(call, "drain", { signal });
    }
    call.end();
  } catch (thrown) {
    call.emit("error", fail(thrown));
  }
}

class HangUp extends Error {
  override readonly name = "HangUp";
}

function isHangUp(thrown: unknown): boolean {
  return thrown instanceof HangUp || (thrown instanceof Error && thrown.name === "AbortError");
}

function hangUpSignal(call: { on(event: "cancelled", listener: () => void): unknown; cancelled: boolean }) {
  const controller = new AbortController();
  if (call.cancelled) controller.abort(new HangUp());
  else call.on("cancelled", () => controller.abort(new HangUp()));
  return controller.signal;
}
