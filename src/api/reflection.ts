// gRPC server reflection, v1 and v1alpha, so that grpcurl and its like need no .proto file. One implementation: the two
// protocols differ in their package name only.
import { create, fromBinary, toBinary, type DescFile, type DescService } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import {
  ErrorResponseSchema,
  ExtensionNumberResponseSchema,
  FileDescriptorResponseSchema,
  ListServiceResponseSchema,
  ServerReflection,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
  ServiceResponseSchema,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "../../gen/grpc/reflection/v1/reflection_pb.js";
import {
  ServerReflection as ServerReflectionAlpha,
  ServerReflectionRequestSchema as RequestSchemaAlpha,
  ServerReflectionResponseSchema as ResponseSchemaAlpha,
  type ServerReflectionRequest as RequestAlpha,
  type ServerReflectionResponse as ResponseAlpha,
} from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { createDescriptorIndex, type DescriptorIndex } from "./descriptor-index.js";
import type { ServiceHandlers } from "./service-handlers.js";

/** Handlers of both versions, describing `services` and themselves. */
export function createReflection(services: readonly DescService[]): {
  readonly v1: ServiceHandlers<typeof ServerReflection>;
  readonly v1alpha: ServiceHandlers<typeof ServerReflectionAlpha>;
} {
  const described = [...services, ServerReflection, ServerReflectionAlpha];
  const index = createDescriptorIndex(described);
  const names = described.map((service) => service.typeName).toSorted();
  return {
    v1: {
      async *serverReflectionInfo(requests: AsyncIterable<ServerReflectionRequest>) {
        for await (const request of requests) yield answer(request, index, names);
      },
    },
    v1alpha: {
      async *serverReflectionInfo(requests: AsyncIterable<RequestAlpha>): AsyncGenerator<ResponseAlpha> {
        for await (const request of requests) {
          const asV1 = fromBinary(ServerReflectionRequestSchema, toBinary(RequestSchemaAlpha, request));
          yield fromBinary(ResponseSchemaAlpha, toBinary(ServerReflectionResponseSchema, answer(asV1, index, names)));
        }
      },
    },
  };
}

type Question = ServerReflectionRequest["messageRequest"];
type Answer = ServerReflectionResponse["messageResponse"];

function answer(request: ServerReflectionRequest, index: DescriptorIndex, serviceNames: readonly string[]): ServerReflectionResponse {
  return create(ServerReflectionResponseSchema, {
    validHost: request.host,
    originalRequest: request,
    messageResponse: answerTo(request.messageRequest, index, serviceNames),
  });
}

function answerTo(question: Question, index: DescriptorIndex, serviceNames: readonly string[]): Answer {
  switch (question.case) {
    case "fileByFilename":
      return files(index.file(question.value), index, `no file ${question.value}`);
    case "fileContainingSymbol":
      return files(index.fileOfSymbol(question.value), index, `no symbol ${question.value}`);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = question.value;
      const extension = index.extensions(containingType)?.get(extensionNumber);
      return files(extension?.file, index, `no extension ${extensionNumber} of ${containingType}`);
    }
    case "allExtensionNumbersOfType": {
      const extensions = index.extensions(question.value);
      if (!extensions) return failure(status.NOT_FOUND, `no message ${question.value}`);
      const value = create(ExtensionNumberResponseSchema, { baseTypeName: question.value, extensionNumber: [...extensions.keys()] });
      return { case: "allExtensionNumbersResponse", value };
    }
    case "listServices": {
      const service = serviceNames.map((name) => create(ServiceResponseSchema, { name }));
      return { case: "listServicesResponse", value: create(ListServiceResponseSchema, { service }) };
    }
    case undefined:
      return failure(status.INVALID_ARGUMENT, "message_request: must be set");
  }
}

function files(file: DescFile | undefined, index: DescriptorIndex, otherwise: string): Answer {
  if (!file) return failure(status.NOT_FOUND, otherwise);
  const fileDescriptorProto = [...index.withImports(file)];
  return { case: "fileDescriptorResponse", value: create(FileDescriptorResponseSchema, { fileDescriptorProto }) };
}

function failure(errorCode: status, errorMessage: string): Answer {
  return { case: "errorResponse", value: create(ErrorResponseSchema, { errorCode, errorMessage }) };
}
