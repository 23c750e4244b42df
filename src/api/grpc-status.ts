// From what a handler threw to the gRPC status that ends the call. Used by `grpc-handlers.ts`.
import { toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { anyPack, AnySchema } from "@bufbuild/protobuf/wkt";
import { ViolationsSchema, type Violations } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { Metadata, type StatusObject } from "@grpc/grpc-js";
import { ApiError } from "./outcomes.js";

/** The status of `error`, with the time to wait and the violations as trailers. */
export function grpcStatus(error: ApiError): StatusObject {
  const metadata = new Metadata();
  if (error.retryAfterMs > 0) metadata.set("retry-after-ms", String(Math.ceil(error.retryAfterMs)));
  if (error.violations) metadata.set("grpc-status-details-bin", statusDetails(error, error.violations));
  return { code: error.code, details: error.message, metadata };
}

/** A google.rpc.Status, written by hand: int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3. */
function statusDetails(error: ApiError, violations: Violations): Buffer {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int32(error.code);
  writer.tag(2, WireType.LengthDelimited).string(error.message);
  writer.tag(3, WireType.LengthDelimited).bytes(toBinary(AnySchema, anyPack(ViolationsSchema, violations)));
  return Buffer.from(writer.finish());
}
