import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { chunkCodec } from "./chunkCodec.ts";

/** What is sent: a message, or what one is made of. */
export type Init = MessageInitShape<DescMessage>;

/** Describes a protobuf-es service to grpc-js. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

const definitions = new WeakMap<DescMethod, MethodDefinition<Init, Message>>();

/** Describes one method to grpc-js, the same way each time. */
export function methodDefinition(method: DescMethod): MethodDefinition<Init, Message> {
  const known = definitions.get(method);
  if (known) return known;
  const definition = describeMethod(method);
  definitions.set(method, definition);
  return definition;
}

function describeMethod(method: DescMethod): MethodDefinition<Init, Message> {
  const input = messageCodec(method.input);
  const output = messageCodec(method.output);
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: input.serialize,
    requestDeserialize: input.deserialize,
    responseSerialize: output.serialize,
    responseDeserialize: output.deserialize,
  };
}

function messageCodec(schema: DescMessage) {
  const chunks = chunkCodec(schema);
  return {
    serialize(message: Init): Buffer {
      const encoded = chunks?.encode(message);
      if (encoded) return encoded;
      const bytes = toBinary(schema, create(schema, message));
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    deserialize: (bytes: Buffer): Message => chunks?.decode(bytes) ?? fromBinary(schema, bytes),
  };
}
