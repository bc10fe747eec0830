import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GetStateResponseSchema, PutStateRequestSchema } from "../../../../shared/gen/coord/v1/checkpoint_pb.ts";
import {
  ContributeRequestSchema,
  EvaluateRequestSchema,
  FetchResponseSchema,
} from "../../../../shared/gen/coord/v1/collective_pb.ts";
import { chunkCodec } from "../../../../shared/rpc/chunkCodec.ts";

const schemas: readonly DescMessage[] = [
  ContributeRequestSchema,
  FetchResponseSchema,
  PutStateRequestSchema,
  GetStateResponseSchema,
];
const pieces = fc.record({
  offset: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 40n }), fc.constantFrom(0n, 127n, 128n, 2n ** 31n, 2n ** 32n)),
  data: fc.uint8Array({ maxLength: 20_000 }),
});

describe.each(schemas.map((schema) => [schema.name, schema] as const))("the chunk codec of %s", (_, schema) => {
  const codec = chunkCodec(schema)!;

  it("writes the bytes that protobuf-es writes", () => {
    fc.assert(
      fc.property(pieces, (value) => {
        const message = { part: { case: "chunk", value } };
        expect(written(codec.encode(message)!)).toEqual(toBinary(schema, create(schema, message as never)));
      }),
    );
  });

  it("reads what protobuf-es wrote, as protobuf-es reads it", () => {
    fc.assert(
      fc.property(pieces, (value) => {
        const bytes = toBinary(schema, create(schema, { part: { case: "chunk", value } } as never));
        const read = codec.decode(bytes);
        // A chunk without data has no canonical form of ours; protobuf-es reads it.
        if (value.data.length === 0) expect(read).toBeUndefined();
        else expect(read).toEqual(fromBinary(schema, bytes));
      }),
    );
  });

  it("leaves anything but one whole chunk to protobuf-es", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(), (noise, cut) => {
        const message = { part: { case: "chunk", value: { offset: 300n, data: Uint8Array.of(1, 2, 3) } } };
        const bytes = toBinary(schema, create(schema, message as never));
        expect(codec.decode(bytes.subarray(0, cut % bytes.length))).toBeUndefined();
        expect(codec.decode(Uint8Array.of(...bytes, ...noise, 0))).toBeUndefined();
        const read = codec.decode(noise);
        if (read) expect(read).toEqual(fromBinary(schema, noise));
      }),
    );
  });
});

describe("the chunk codec", () => {
  it("does not concern itself with headers and other messages", () => {
    expect(chunkCodec(EvaluateRequestSchema)).toBeUndefined();
    const codec = chunkCodec(FetchResponseSchema)!;
    const header = create(FetchResponseSchema, { part: { case: "header", value: { bytes: 8n } } });
    expect(codec.encode(header)).toBeUndefined();
    expect(codec.decode(toBinary(FetchResponseSchema, header))).toBeUndefined();
    expect(codec.encode({})).toBeUndefined();
  });
});

/** As grpc-js writes it: behind a frame header. */
function written(encoded: Buffer): Uint8Array {
  const output = Buffer.alloc(5 + encoded.byteLength);
  encoded.copy(output, 5);
  expect(encoded.length).toBe(encoded.byteLength);
  return new Uint8Array(output.subarray(5));
}
