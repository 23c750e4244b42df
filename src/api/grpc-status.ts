// From what a handler threw to the gRPC status that ends the call. Used by `grpc-handlers.ts`.
import { toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { anyPack, AnySchema } from "@bufbuild/protobuf/wkt";
import { Metadata, type StatusObject } from "@grpc/grpc-js";
import { errorDetails, type ErrorDetail } from "./error-details.js";
import { ApiError } from "./outcomes.js";

/** The status of `error`, with the time to wait and its details as trailers. */
export function grpcStatus(error: ApiError): StatusObject {
  const metadata = new Metadata();
  if (error.retryAfterMs > 0) metadata.set("retry-after-ms", String(Math.ceil(error.retryAfterMs)));
  const details = errorDetails(error);
  metadata.set("grpc-status-details-bin", statusDetails(error, details));
  return { code: error.code, details: error.message, metadata };
}

/** A google.rpc.Status, written by hand: int32 code = 1; string message = 2; repeated google.protobuf.Any details = 3. */
function statusDetails(error: ApiError, details: readonly ErrorDetail[]): Buffer {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).int32(error.code);
  writer.tag(2, WireType.LengthDelimited).string(error.message);
  for (const { desc, value } of details) writer.tag(3, WireType.LengthDelimited).bytes(toBinary(AnySchema, anyPack(desc, value)));
  return Buffer.from(writer.finish());
}
