import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { promisify } from "node:util";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, type FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "@jest/globals";
import * as grpc from "@grpc/grpc-js";
import { AgentService } from "../../../gen/gpurouter/v1/agent_pb.js";
import { RouterService } from "../../../gen/gpurouter/v1/router_pb.js";
import * as v1 from "../../../gen/grpc/reflection/v1/reflection_pb.js";
import * as v1alpha from "../../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { grpcServiceDefinition } from "../../../src/wire/grpc-service-definition.js";
import { createReflection } from "../../../src/api/reflection.js";
import { LOCAL_CALLER } from "../../../src/api/guard.js";
import { afterThisTest, serveGrpc } from "./serving.js";

type Question = MessageInitShape<typeof v1.ServerReflectionRequestSchema>["messageRequest"];

const reflection = createReflection([RouterService, AgentService]);

async function ask(question: Question) {
  const request = create(v1.ServerReflectionRequestSchema, { host: "h", ...(question && { messageRequest: question }) });
  async function* requests() {
    yield request;
  }
  for await (const response of reflection.v1.serverReflectionInfo(requests(), new AbortController().signal, LOCAL_CALLER)) {
    expect(response.validHost).toBe("h");
    expect(response.originalRequest).toEqual(request);
    return response.messageResponse;
  }
  throw new Error("no answer");
}

async function filesFor(question: Question): Promise<FileDescriptorProto[]> {
  const answer = await ask(question);
  if (answer.case !== "fileDescriptorResponse") throw new Error(`expected files, got ${answer.case}`);
  return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

describe("reflection", () => {
  test("lists the services and itself", async () => {
    expect(await ask({ case: "listServices", value: "" })).toMatchObject({
      case: "listServicesResponse",
      value: {
        service: [
          { name: "gpurouter.v1.AgentService" },
          { name: "gpurouter.v1.RouterService" },
          { name: "grpc.reflection.v1.ServerReflection" },
          { name: "grpc.reflection.v1alpha.ServerReflection" },
        ],
      },
    });
  });

  test.each([
    ["gpurouter.v1.RouterService", "gpurouter/v1/router.proto"],
    ["gpurouter.v1.RouterService.Route", "gpurouter/v1/router.proto"],
    ["gpurouter.v1.RouteRequest", "gpurouter/v1/router.proto"],
    ["gpurouter.v1.RouteRequest.model_id", "gpurouter/v1/router.proto"],
    ["gpurouter.v1.RouteRequest.payload", "gpurouter/v1/router.proto"],
    ["gpurouter.v1.RequestState", "gpurouter/v1/router.proto"],
    ["gpurouter.v1.REQUEST_STATE_QUEUED", "gpurouter/v1/router.proto"],
    ["gpurouter.v1.Gpu", "gpurouter/v1/gpu.proto"],
    ["gpurouter.v1.AgentService.Connect", "gpurouter/v1/agent.proto"],
    ["buf.validate.field", "buf/validate/validate.proto"],
    ["google.protobuf.Timestamp", "google/protobuf/timestamp.proto"],
    ["google.protobuf.FieldDescriptorProto.TYPE_BOOL", "google/protobuf/descriptor.proto"],
    ["google.protobuf.FieldDescriptorProto.Type", "google/protobuf/descriptor.proto"],
  ])("finds %s in %s", async (symbol, file) => {
    const [first] = await filesFor({ case: "fileContainingSymbol", value: symbol });
    expect(first?.name).toBe(file);
  });

  test("sends a file with all that it imports, each once", async () => {
    const files = await filesFor({ case: "fileByFilename", value: "gpurouter/v1/router.proto" });
    const names = files.map(({ name }) => name);
    expect(names[0]).toBe("gpurouter/v1/router.proto");
    expect(names.toSorted()).toEqual([
      "buf/validate/validate.proto",
      "google/protobuf/descriptor.proto",
      "google/protobuf/duration.proto",
      "google/protobuf/field_mask.proto",
      "google/protobuf/struct.proto",
      "google/protobuf/timestamp.proto",
      "gpurouter/v1/decision.proto",
      "gpurouter/v1/gpu.proto",
      "gpurouter/v1/router.proto",
    ]);
    for (const file of files) for (const dependency of file.dependency) expect(names).toContain(dependency);
  });

  test("keeps the validation rules, which are custom options", async () => {
    const [file] = await filesFor({ case: "fileByFilename", value: "gpurouter/v1/router.proto" });
    const field = file?.messageType.find(({ name }) => name === "RouteRequest")?.field.find(({ name }) => name === "priority");
    // 1159 is buf.validate.field.
    expect(field?.options?.$unknown?.map(({ no }) => no)).toEqual([1159]);
  });

  test("finds extensions by type and number, and their numbers by type", async () => {
    const extension = { containingType: "google.protobuf.FieldOptions", extensionNumber: 1159 };
    const [first] = await filesFor({ case: "fileContainingExtension", value: create(v1.ExtensionRequestSchema, extension) });
    expect(first?.name).toBe("buf/validate/validate.proto");
    expect(await ask({ case: "allExtensionNumbersOfType", value: "google.protobuf.FieldOptions" })).toMatchObject({
      case: "allExtensionNumbersResponse",
      value: { baseTypeName: "google.protobuf.FieldOptions", extensionNumber: expect.arrayContaining([1159]) },
    });
    expect(await ask({ case: "allExtensionNumbersOfType", value: "gpurouter.v1.Gpu" })).toMatchObject({
      case: "allExtensionNumbersResponse",
      value: { extensionNumber: [] },
    });
  });

  test.each<[Question, number]>([
    [{ case: "fileByFilename", value: "nobody.proto" }, grpc.status.NOT_FOUND],
    [{ case: "fileContainingSymbol", value: "gpurouter.v1.Nobody" }, grpc.status.NOT_FOUND],
    [{ case: "fileContainingSymbol", value: "gpurouter.v1.RequestState.REQUEST_STATE_QUEUED" }, grpc.status.NOT_FOUND],
    [{ case: "allExtensionNumbersOfType", value: "gpurouter.v1.Nobody" }, grpc.status.NOT_FOUND],
    [
      { case: "fileContainingExtension", value: create(v1.ExtensionRequestSchema, { containingType: "google.protobuf.FieldOptions", extensionNumber: 1 }) },
      grpc.status.NOT_FOUND,
    ],
    [undefined, grpc.status.INVALID_ARGUMENT],
  ])("answers %j with an error and goes on", async (question, code) => {
    expect(await ask(question)).toMatchObject({ case: "errorResponse", value: { errorCode: code } });
  });

  test.each([
    ["v1", v1],
    ["v1alpha", v1alpha],
  ])("%s answers several questions on one stream over gRPC", async (_name, version) => {
    const { address } = await serveGrpc();
    const client = new grpc.Client(address, grpc.credentials.createInsecure());
    afterThisTest(() => client.close());
    const { path: method, requestSerialize, responseDeserialize } = grpcServiceDefinition(version.ServerReflection as typeof v1.ServerReflection).serverReflectionInfo;
    const call = client.makeBidiStreamRequest(method, requestSerialize, responseDeserialize);
    const requestSchema = version.ServerReflectionRequestSchema as typeof v1.ServerReflectionRequestSchema;
    call.write(create(requestSchema, { messageRequest: { case: "fileContainingSymbol", value: "gpurouter.v1.Nobody" } }));
    call.write(create(requestSchema, { messageRequest: { case: "listServices", value: "" } }));
    call.end();
    const answers: unknown[] = [];
    for await (const answer of call) answers.push((answer as v1.ServerReflectionResponse).messageResponse.case);
    expect(answers).toEqual(["errorResponse", "listServicesResponse"]);
  });
});

describe("buf curl, with nothing but reflection to go by", () => {
  const require = createRequire(import.meta.url);
  const buf = path.join(path.dirname(require.resolve("@bufbuild/buf/package.json")), "bin", "buf");
  const curl = async (address: string, version: string, ...more: string[]): Promise<string> => {
    const options = ["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--reflect", "--reflect-protocol", version];
    const { stdout } = await promisify(execFile)(process.execPath, [buf, ...options, ...more.map((word) => word.replace("ADDRESS", `http://${address}`))]);
    return stdout;
  };

  test.each(["grpc-v1", "grpc-v1alpha"])("by %s lists, describes and calls", async (version) => {
    const { address, router } = await serveGrpc({ extraServices: [{ service: AgentService, implementation: { connect: () => {} } }] });
    expect((await curl(address, version, "--list-services", "ADDRESS")).trim().split("\n").toSorted()).toEqual([
      "gpurouter.v1.AgentService",
      "gpurouter.v1.RouterService",
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ]);
    expect(await curl(address, version, "--list-methods", "ADDRESS")).toContain("gpurouter.v1.RouterService/Route\n");
    const answer = await curl(address, version, "-d", '{"modelId":"llama","payloadJson":{"prompt":"hi"}}', "ADDRESS/gpurouter.v1.RouterService/Route");
    expect(JSON.parse(answer)).toMatchObject({ status: "ROUTE_STATUS_QUEUED" });
    expect(new TextDecoder().decode(router.specs[0]?.payload)).toBe('{"prompt":"hi"}');
  });
});
