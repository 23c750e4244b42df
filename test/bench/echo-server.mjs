// The yardstick: bare grpc-js that decodes a RouteRequest and answers a RouteResponse, and does nothing else.
// Prints its port as JSON, ends with its standard input.
import { create } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { RouterService, RouteResponseSchema } from "../../dist/gen/gpurouter/v1/router_pb.js";
import { grpcServiceDefinition } from "../../dist/src/wire/grpc-service-definition.js";

const server = new Server({ "grpc.enable_channelz": 0, "grpc.max_concurrent_streams": 1_000 });
const unimplemented = (call, callback) => callback({ code: 12, details: "not part of the echo" });
const implementation = Object.fromEntries(RouterService.methods.map((method) => [method.localName, unimplemented]));
implementation.route = (call, callback) => callback(null, create(RouteResponseSchema, { requestId: call.request.requestId, status: 1, message: "" }));
server.addService(grpcServiceDefinition(RouterService), implementation);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(JSON.stringify({ port }));
});
process.stdin.resume().on("end", () => process.exit(0));
