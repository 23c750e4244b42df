// Turns a protobuf-es service descriptor into what grpc-js wants of a service. Used by the gRPC server, by the agent's
// end of the stream and by clients. Knows nothing of what the methods do.
import { fromBinary, toBinary, type DescMessage, type DescMethod, type DescService, type MessageShape } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";

/** The methods of `S` by their lower-camel names, typed for grpc-js; `makeClientConstructor` and `Server.addService` take it. */
export type GrpcServiceDefinition<S extends DescService> = {
  readonly [K in keyof S["method"]]: MethodDefinition<MessageShape<S["method"][K]["input"]>, MessageShape<S["method"][K]["output"]>>;
};

/** One method. Handlers must answer with complete messages, as `create()` makes them. */
export function grpcMethodDefinition<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  const { input, output } = method;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    originalName: method.localName,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (message) => asBuffer(toBinary(input, message)),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (message) => asBuffer(toBinary(output, message)),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

/** All methods of a service. */
export function grpcServiceDefinition<S extends DescService>(service: S): GrpcServiceDefinition<S> {
  const definition: Record<string, MethodDefinition<MessageShape<DescMessage>, MessageShape<DescMessage>>> = {};
  for (const method of service.methods) definition[method.localName] = grpcMethodDefinition(method);
  return definition as unknown as GrpcServiceDefinition<S>;
}

/** The same memory as a Buffer, which grpc-js asks for. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
