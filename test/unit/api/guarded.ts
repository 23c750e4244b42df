// Both servers over a fake router, with an identity in memory: a key of each role, and what is called with it.
import * as http2 from "node:http2";
import { create, toBinary, toJson, type DescMethod, type MessageInitShape, type DescMessage } from "@bufbuild/protobuf";
import { Client, Metadata, status, type ChannelCredentials, type ClientDuplexStream, type ServerDuplexStream, credentials as channel } from "@grpc/grpc-js";
import { AdminService } from "../../../gen/gpurouter/v1/admin_pb.js";
import { AgentService, type ConnectRequest, type ConnectResponse } from "../../../gen/gpurouter/v1/agent_pb.js";
import { IdentityService } from "../../../gen/gpurouter/v1/identity_pb.js";
import { QuotaService } from "../../../gen/gpurouter/v1/quota_pb.js";
import { createAdminService } from "../../../src/api/admin-service.js";
import { callerOf } from "../../../src/api/grpc-guard.js";
import { createGrpcServer, type GrpcServerOptions } from "../../../src/api/grpc-server.js";
import { IdentityGuard } from "../../../src/api/guard.js";
import { createHttpServer, type HttpServerOptions } from "../../../src/api/http-server.js";
import { createIdentityService } from "../../../src/api/identity-service.js";
import { createQuotaService } from "../../../src/api/quota-service.js";
import { createRouterService } from "../../../src/api/router-service.js";
import { createValidation } from "../../../src/api/validation.js";
import type { AuthenticatorOptions } from "../../../src/auth/authenticator.js";
import { ROLES, type Role } from "../../../src/auth/principal.js";
import { agentDoor } from "../../../src/router/agent-door.js";
import { makeIdentity, MemoryStore, type MadeIdentity } from "../auth/made-identity.js";
import { FakeAdmin } from "./fake-admin.js";
import { FakeQuotas } from "./fake-quotas.js";
import { FakeRouter } from "./fake-router.js";
import { afterThisTest, ErrorLog } from "./serving.js";

export interface Guarded {
  readonly router: FakeRouter;
  readonly quotas: FakeQuotas;
  readonly identity: MadeIdentity;
  readonly guard: IdentityGuard;
  readonly log: ErrorLog;
  /** host:port. */
  readonly grpc: string;
  readonly http: string;
  /** A key's text for each role; the user of each is named as its role. */
  readonly keys: Readonly<Record<Role, string>>;
  /** Principals whose agents have connected. */
  readonly agents: string[];
}

/** Compiled once for all tests of a file. */
const validate = createValidation();

interface Options {
  readonly authenticator?: Partial<Omit<AuthenticatorOptions, "book" | "audit">>;
  readonly grpc?: Partial<GrpcServerOptions>;
  readonly http?: Partial<HttpServerOptions>;
  readonly maxStreamsPerUser?: number;
}

export async function serveGuarded({ authenticator, grpc: grpcOptions, http: httpOptions, maxStreamsPerUser = 1_000 }: Options = {}): Promise<Guarded> {
  const router = new FakeRouter();
  const quotas = new FakeQuotas();
  const log = new ErrorLog();
  // The servers live in real time.
  const identity = makeIdentity({ ...authenticator, now: Date.now }, new MemoryStore(), {
    get atMs() {
      return Date.now();
    },
    set atMs(_atMs) {
      throw new Error("real time cannot be set");
    },
  });
  const keys = { admin: await identity.key({ roles: ["admin"], user: "admin" }) } as Record<Role, string>;
  for (const role of ROLES) keys[role] ??= await identity.key({ roles: [role], user: role, nodeIds: role === "agent" ? ["node-1"] : [] });
  const guard = new IdentityGuard(identity.authenticator, identity.audit, log, (listener) => identity.book.onTakenAway(listener), maxStreamsPerUser);
  const service = createRouterService(router, Date.now, validate);
  const services = [
    { service: AdminService, handlers: createAdminService(new FakeAdmin(router), identity.audit) },
    { service: QuotaService, handlers: createQuotaService(quotas, identity.audit) },
    { service: IdentityService, handlers: createIdentityService(identity.book, identity.audit, Date.now, validate) },
  ];
  const agents: string[] = [];
  const connect = agentDoor((stream: ServerDuplexStream<ConnectRequest, ConnectResponse>) => {
    agents.push(callerOf(stream).principal.name);
    stream.sendMetadata(new Metadata());
    stream.resume();
    stream.on("end", () => stream.end());
  }, guard);
  const entrance = { host: "127.0.0.1", port: 0, router: service, services, guard, log };
  const grpc = createGrpcServer({ ...entrance, extraServices: [{ service: AgentService, implementation: { connect } }], ...grpcOptions });
  const http = createHttpServer({ ...entrance, results: router, ...httpOptions });
  const served = { grpc: `127.0.0.1:${await grpc.listen()}`, http: `127.0.0.1:${await http.listen()}` };
  afterThisTest(async () => {
    await Promise.all([grpc.drain(0), http.drain(0)]);
    guard.stop();
    await identity.stop();
  });
  return { router, quotas, identity, guard, log, keys, agents, ...served };
}

/** What became of a call: the first of an answer, a status, or that its stream was accepted. */
export interface Outcome {
  readonly code: number;
  readonly details: string;
}

export const LET_IN: Outcome = { code: status.OK, details: "" };

/** Calls a method over gRPC with these headers. Of streams only the beginning counts. */
export function callGrpc(address: string, method: DescMethod, init: object, headers: Readonly<Record<string, string>>, credentials: ChannelCredentials = channel.createInsecure()): Promise<Outcome> {
  const client = new Client(address, credentials);
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const bytes = Buffer.from(toBinary(method.input, create(method.input, init as MessageInitShape<DescMessage>)));
  const path = `/${method.parent.typeName}/${method.name}`;
  const same = (buffer: Buffer): Buffer => buffer;
  return new Promise<Outcome>((resolve) => {
    const failed = (error: { code?: number; details?: string }): void => resolve({ code: error.code ?? status.UNKNOWN, details: error.details ?? "" });
    if (method.methodKind === "unary") {
      client.makeUnaryRequest(path, same, same, bytes, metadata, {}, (error) => (error ? failed(error) : resolve(LET_IN)));
      return;
    }
    const stream = method.methodKind === "server_streaming" ? client.makeServerStreamRequest(path, same, same, bytes, metadata, {}) : client.makeBidiStreamRequest(path, same, same, metadata, {});
    const letIn = (): void => resolve(LET_IN);
    stream.on("error", failed);
    stream.on("data", letIn);
    stream.on("end", letIn);
    // Headers come before the first message; a refusal has none but its status.
    if (method.methodKind === "bidi_streaming") {
      stream.on("metadata", letIn);
      (stream as ClientDuplexStream<Buffer, Buffer>).end(bytes);
    }
  }).finally(() => client.close());
}

/** Calls a method by Connect with these headers. */
export async function callConnect(origin: string, method: DescMethod, init: object, headers: Readonly<Record<string, string>>): Promise<Outcome & { readonly httpStatus: number }> {
  const json = JSON.stringify(toJson(method.input, create(method.input, init as MessageInitShape<DescMessage>)));
  const streams = method.methodKind === "server_streaming";
  const frame = Buffer.alloc(5 + Buffer.byteLength(json));
  frame.writeUInt32BE(Buffer.byteLength(json), 1);
  frame.write(json, 5);
  const response = await fetch(`${origin}/${method.parent.typeName}/${method.name}`, {
    method: "POST",
    headers: { "content-type": streams ? "application/connect+json" : "application/json", ...headers },
    body: streams ? frame : json,
  });
  const text = await response.text();
  // A refusal is one document; else the last frame of a stream holds its error.
  const answer = response.ok && streams ? (/(\{"error":\{.*\}\})$/s.exec(text)?.[1] ?? "{}") : text;
  const parsed = JSON.parse(answer) as { code?: string; message?: string; error?: { code: string; message: string } };
  const { code, message } = parsed.error ?? parsed;
  const failed = typeof code === "string" && message !== undefined;
  return { code: failed ? status[code.toUpperCase() as keyof typeof status] : status.OK, details: failed ? message : "", httpStatus: response.status };
}

/** A bare HTTP/2 call, for headers that no client would send. Resolves to the trailers, or null when the stream was cut. */
export function rawCall(address: string, headers: http2.OutgoingHttpHeaders | readonly string[], body: Buffer = Buffer.alloc(5)): Promise<http2.IncomingHttpHeaders | null> {
  const session = http2.connect(`http://${address}`);
  return new Promise<http2.IncomingHttpHeaders | null>((resolve) => {
    session.on("error", () => resolve(null));
    const stream = session.request(headers as http2.OutgoingHttpHeaders, { endStream: false });
    let answer: http2.IncomingHttpHeaders | null = null;
    stream.on("response", (response) => (answer = response));
    stream.on("trailers", (trailers) => (answer = trailers));
    stream.on("error", () => {});
    stream.on("close", () => resolve(answer));
    stream.resume();
    stream.end(body);
  }).finally(() => session.destroy());
}
