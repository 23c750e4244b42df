// Machine-readable output: protobuf's JSON form with the field names of the contract, defaults written out.
import { toJson, type DescMessage, type JsonValue, type MessageShape } from "@bufbuild/protobuf";

/** A message as plain JSON: snake_case fields, 64-bit integers as strings, bytes as base64. */
function messageJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  return toJson(schema, message, { useProtoFieldName: true, alwaysEmitImplicit: true });
}

/** One document, indented, for commands that answer once. */
export function jsonDocument<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return `${JSON.stringify(messageJson(schema, message), null, 2)}\n`;
}

/** One line, for streams (NDJSON). */
export function jsonLine<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return `${JSON.stringify(messageJson(schema, message))}\n`;
}
