// The second yardstick: what the calls and messages of a life cost in grpc-js when nothing is done with them. Sends each Route on to the next
// agent as a dispatch and hears its end, over the production's session protocol: no checks, no decision, no queue, nothing stored. What a router
// on grpc-js leaves of the echo is at most what this leaves.
// Prints its gRPC and HTTP addresses as JSON, as `serve` does, and answers /health; ends with its standard input.
import { createServer } from "node:http";
import { create } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { AgentService, AttemptRefSchema, DispatchSchema, WelcomeSchema } from "../../dist/gen/gpurouter/v1/agent_pb.js";
import { RouterService, RouteResponseSchema } from "../../dist/gen/gpurouter/v1/router_pb.js";
import { collectCallsYoung } from "../../dist/src/api/http2-stream-table.js";
import { RouterSession } from "../../dist/src/link/router-session.js";
import { grpcServiceDefinition } from "../../dist/src/wire/grpc-service-definition.js";

/** As the router tells its agents by default. */
const HEARTBEAT_MS = 250;
const TELEMETRY_MS = 1_000;
const PATIENCE_MS = 60_000;
const sessions = [];
const dirty = new Set();
let live = 0;
let sent = 0;

function send({ session, stream }) {
  const message = session.take(Date.now());
  if (message) stream.write(message);
}

function flush() {
  dirty.forEach(send);
  dirty.clear();
}

function connect(stream) {
  let entry = null;
  stream.on("data", (message) => {
    if (message.hello) {
      const { nodeId, instanceId, gpus, runners } = message.hello;
      const welcome = create(WelcomeSchema, { epoch: 1n, heartbeatIntervalMs: HEARTBEAT_MS, telemetryIntervalMs: TELEMETRY_MS, silentAfterMs: PATIENCE_MS, leaseMs: PATIENCE_MS, maxResultBytes: 1 << 20 });
      const session = new RouterSession({ nodeId, instanceId, welcome, beat: message.beat, lostAfterMs: PATIENCE_MS }, Date.now());
      entry = { session, stream, gpuId: gpus[0].gpuId, runner: runners.runners[0].name };
      sessions.push(entry);
      send(entry);
      return;
    }
    entry.session.heard(message.beat, Date.now());
    for (const { ref, event } of message.events) {
      if (event.case !== "ended") continue;
      live -= 1;
      entry.session.acknowledge(ref);
    }
  });
  stream.on("error", () => {});
}

function route({ request }, callback) {
  sent += 1;
  live += 1;
  const requestId = `relayed-${sent}`;
  const entry = sessions[sent % sessions.length];
  const { modelId, type, userId, payload } = request;
  entry.session.dispatch(create(DispatchSchema, { ref: create(AttemptRefSchema, { requestId, attempt: 1 }), gpuId: entry.gpuId, gpuIds: [entry.gpuId], runner: entry.runner, modelId, type, userId, payload: payload.value }));
  if (dirty.size === 0) setImmediate(flush);
  dirty.add(entry);
  callback(null, create(RouteResponseSchema, { requestId, status: 1, message: "" }));
}

const server = new Server({ "grpc.enable_channelz": 0, "grpc.max_concurrent_streams": 1_000 });
const unimplemented = (call, callback) => callback({ code: 12, details: "not part of the relay" });
server.addService(grpcServiceDefinition(RouterService), { ...Object.fromEntries(RouterService.methods.map((method) => [method.localName, unimplemented])), route });
server.addService(grpcServiceDefinition(AgentService), { connect });
setInterval(() => sessions.forEach(send), HEARTBEAT_MS / 10);
const health = createServer((_, response) => response.end(JSON.stringify({ live_requests: live })));
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  collectCallsYoung(server);
  health.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ grpc: `127.0.0.1:${port}`, http: `127.0.0.1:${health.address().port}` })));
});
process.stdin.resume().on("end", () => process.exit(0));
