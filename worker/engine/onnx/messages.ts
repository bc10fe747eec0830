import { create } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "../../../shared/gen/onnx/onnx_pb.ts";
import type { DataType, Shape } from "../../model/graph.ts";

/** An attribute's value: an integer, a list of integers, a float or a string. */
export type Attribute = bigint | readonly bigint[] | number | string;

/** Operators that are not ONNX's own but onnxruntime's; all its providers have the ones used here. */
export const contributed = "com.microsoft";

export function nodeProto(
  operator: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, Attribute>> = {},
  domain = "",
): NodeProto {
  return create(NodeProtoSchema, {
    opType: operator,
    domain,
    name: output,
    input: [...inputs],
    output: [output],
    attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
  });
}

function attributeProto(name: string, value: Attribute): AttributeProto {
  if (typeof value === "bigint") {
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: value });
  }
  if (typeof value === "number") {
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.FLOAT, f: value });
  }
  if (typeof value === "string") {
    const s = new TextEncoder().encode(value);
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.STRING, s });
  }
  return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INTS, ints: [...value] });
}

export function valueInfoProto(name: string, shape: Shape, type: DataType): ValueInfoProto {
  const dim = shape.map((size) =>
    typeof size === "number"
      ? { value: { case: "dimValue" as const, value: BigInt(size) } }
      : { value: { case: "dimParam" as const, value: size } },
  );
  const tensorType = { elemType: elementType[type], shape: { dim } };
  return create(ValueInfoProtoSchema, { name, type: { value: { case: "tensorType", value: tensorType } } });
}

export function floatScalarProto(name: string, value: number): TensorProto {
  const rawData = new Uint8Array(4);
  new DataView(rawData.buffer).setFloat32(0, value, true);
  return create(TensorProtoSchema, { name, dims: [], dataType: TensorProto_DataType.FLOAT, rawData });
}

export function int64VectorProto(name: string, values: readonly number[]): TensorProto {
  const rawData = new Uint8Array(8 * values.length);
  const view = new DataView(rawData.buffer);
  values.forEach((value, index) => {
    view.setBigInt64(8 * index, BigInt(value), true);
  });
  const dims = [BigInt(values.length)];
  return create(TensorProtoSchema, { name, dims, dataType: TensorProto_DataType.INT64, rawData });
}

/** Bytes of a file that hold a float32 tensor. */
export interface ExternalData {
  /** Relative to the folder that the session is given. */
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

export function externalTensorProto(name: string, shape: readonly number[], data: ExternalData): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dims: shape.map(BigInt),
    dataType: TensorProto_DataType.FLOAT,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(data).map(([key, value]) => ({ key, value: String(value) })),
  });
}

export const elementType = {
  float32: TensorProto_DataType.FLOAT,
  int32: TensorProto_DataType.INT32,
} as const satisfies Record<DataType, TensorProto_DataType>;
