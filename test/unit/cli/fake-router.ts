// A RouterService in memory, over real gRPC, for tests of the command line: keeps requests across restarts of its server,
// runs each for as long as told, and can be told to misbehave.
import { createServer, type AddressInfo, type Server as NetServer, type Socket } from "node:net";

import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Server, ServerCredentials, status, type sendUnaryData, type ServerUnaryCall, type ServerWritableStream } from "@grpc/grpc-js";

import { GpuSchema, GpuState, HealthStatus, type Gpu } from "../../../gen/gpurouter/v1/gpu_pb.js";
import {
  BatchRouteResponseSchema,
  CancelResponseSchema,
  ExplainResponseSchema,
  GpuStatusResponseSchema,
  ListResponseSchema,
  RequestErrorSchema,
  RequestInfoSchema,
  RequestState,
  RouterService,
  RouteResponseSchema,
  RouteStatus,
  RunStatisticsSchema,
  StatusResponseSchema,
  WatchGpusResponseSchema,
  WatchResponseSchema,
  type CancelRequest,
  type ExplainRequest,
  type ExplainResponse,
  type BatchRouteRequest,
  type EstimateAccuracy,
  type GpuStatusRequest,
  type ListRequest,
  type RequestInfo,
  type RouteRequest,
  type StatusRequest,
  type WatchGpusRequest,
  type WatchGpusResponse,
  type WatchRequest,
  type WatchResponse,
} from "../../../gen/gpurouter/v1/router_pb.js";
import { grpcServiceDefinition } from "../../../src/wire/grpc-service-definition.js";

interface Held {
  readonly request: RouteRequest;
  info: RequestInfo;
  readonly watchers: Set<ServerWritableStream<WatchRequest, WatchResponse>>;
}

export interface Behaviour {
  /** How long a request runs, ms; Infinity until `end` is called. */
  runMs(request: RouteRequest, number: number): number;
  /** A gRPC status to refuse with, or null. */
  refuse(request: RouteRequest, number: number): { readonly code: number; readonly details: string } | null;
  /** How a request ends. */
  fate(request: RouteRequest, number: number): RequestState.COMPLETED | RequestState.FAILED | RequestState.CANCELLED;
  /** Output streamed when the request starts. */
  output: readonly string[];
  result: string;
  /** Sends the final state twice. */
  doubleEnd: boolean;
  /** Route answers as for what no GPU can take. */
  hopeless: boolean;
}

type Handler<I> = (call: ServerUnaryCall<I, unknown>, callback: sendUnaryData<never>) => void;

export class FakeRouter {
  readonly requests = new Map<string, Held>();
  readonly routed: RouteRequest[] = [];
  readonly watchGpusRequests: WatchGpusRequest[] = [];
  readonly gpus: Gpu[] = [fakeGpu("gpu-sim-0", 0), fakeGpu("gpu-sim-1", 1)];
  readonly estimates: EstimateAccuracy[] = [];
  readonly batches: BatchRouteRequest[] = [];
  batchOutcome = (request: RouteRequest, index: number): MessageInitShape<typeof RouteResponseSchema> => ({
    requestId: request.requestId || `made-${index}`,
    status: RouteStatus.ACCEPTED,
    assignedGpu: `gpu-sim-${index % 2}`,
    assignedGpus: [`gpu-sim-${index % 2}`],
  });
  readonly fleetWatchers = new Set<ServerWritableStream<WatchGpusRequest, WatchGpusResponse>>();
  explanation: ExplainResponse = create(ExplainResponseSchema, { summary: "nothing" });
  explained: ExplainRequest | null = null;
  readonly behaviour: Behaviour;
  #server: Server | null = null;
  #listener: NetServer | null = null;
  #sockets = new Set<Socket>();
  #port = 0;
  #timers = new Set<NodeJS.Timeout>();

  constructor(behaviour: Partial<Behaviour> = {}) {
    this.behaviour = { runMs: () => 1, refuse: () => null, fate: () => RequestState.COMPLETED, output: [], result: "", doubleEnd: false, hopeless: false, ...behaviour };
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Listens, on the port it had before if it had one. */
  async start(): Promise<this> {
    const server = new Server({ "grpc.enable_channelz": 0 });
    server.addService(grpcServiceDefinition(RouterService), {
      route: ((call, callback) => this.#route(call.request, callback)) satisfies Handler<RouteRequest>,
      batchRoute: ((call, callback) => {
        this.batches.push(call.request);
        const responses = call.request.requests.map((request, index) => this.batchOutcome(request, index));
        callback(null, create(BatchRouteResponseSchema, { responses }) as never);
      }) satisfies Handler<BatchRouteRequest>,
      status: ((call, callback) => {
        const held = this.requests.get(call.request.requestId);
        if (held === undefined) callback(notFound(call.request.requestId));
        else callback(null, create(StatusResponseSchema, { request: held.info }) as never);
      }) satisfies Handler<StatusRequest>,
      list: ((call, callback) => callback(null, this.#list(call.request) as never)) satisfies Handler<ListRequest>,
      cancel: ((call, callback) => {
        const held = this.requests.get(call.request.requestId);
        if (held === undefined) return callback(notFound(call.request.requestId));
        held.info.cancelReason ||= call.request.reason;
        this.end(call.request.requestId, RequestState.CANCELLED);
        callback(null, create(CancelResponseSchema, { request: held.info }) as never);
      }) satisfies Handler<CancelRequest>,
      watch: (call: ServerWritableStream<WatchRequest, WatchResponse>) => this.#watch(call),
      explain: ((call, callback) => {
        this.explained = call.request;
        callback(null, this.explanation as never);
      }) satisfies Handler<ExplainRequest>,
      gpuStatus: ((call, callback) => {
        const wanted = new Set(call.request.gpuIds);
        callback(null, create(GpuStatusResponseSchema, { gpus: this.gpus.filter((gpu) => wanted.size === 0 || wanted.has(gpu.gpuId)), estimates: this.estimates }) as never);
      }) satisfies Handler<GpuStatusRequest>,
      watchGpus: (call: ServerWritableStream<WatchGpusRequest, WatchGpusResponse>) => {
        this.watchGpusRequests.push(call.request);
        this.fleetWatchers.add(call);
        call.on("cancelled", () => this.fleetWatchers.delete(call));
        if (call.request.resumeToken === "") call.write(create(WatchGpusResponseSchema, { sequence: 1n, snapshot: true, gpus: this.gpus, resumeToken: "token-1" }));
      },
    });
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const listener = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => {});
      injector.injectConnection(socket);
    });
    await new Promise<void>((resolve, reject) => listener.once("error", reject).listen(this.#port, "127.0.0.1", resolve));
    this.#port = (listener.address() as AddressInfo).port;
    this.#server = server;
    this.#listener = listener;
    return this;
  }

  /** Cuts every connection, as a crash would; requests stay. */
  crash(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener?.close();
    this.#server?.forceShutdown();
    this.#server = null;
    for (const held of this.requests.values()) held.watchers.clear();
    this.fleetWatchers.clear();
  }

  stop(): void {
    this.crash();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Tells fleet watchers. */
  changeFleet(gpus: readonly Gpu[], resumeToken: string, removedGpuIds: readonly string[] = []): void {
    for (const call of this.fleetWatchers) call.write(create(WatchGpusResponseSchema, { sequence: 2n, gpus: [...gpus], resumeToken, removedGpuIds: [...removedGpuIds] }));
  }

  /** Ends a request and tells its watchers. */
  end(requestId: string, state: RequestState): void {
    const held = this.requests.get(requestId);
    if (held === undefined || held.info.state > RequestState.PROCESSING) return;
    const now = Date.now();
    const startedMs = Number(held.info.startTime?.seconds ?? 0n) * 1000 + (held.info.startTime?.nanos ?? 0) / 1e6;
    held.info = Object.assign(clone(RequestInfoSchema, held.info), {
      state,
      completionTime: timestampFromMs(now),
      durationMs: BigInt(Math.round(now - startedMs)),
      result: Buffer.from(this.behaviour.result),
      resultSize: BigInt(this.behaviour.result.length),
      resultContentType: "text/plain",
      statistics: create(RunStatisticsSchema, {
        runMs: now - startedMs,
        inputTokens: held.request.resourceRequirements?.inputTokens ?? 0,
        outputTokens: held.request.resourceRequirements?.outputTokens ?? 0,
      }),
      ...(state === RequestState.FAILED ? { error: create(RequestErrorSchema, { code: "runner_failed", message: "it broke", exitCode: 7 }) } : {}),
    });
    for (const call of held.watchers) this.#tell(call, held);
    held.watchers.clear();
  }

  #route(request: RouteRequest, callback: sendUnaryData<never>): void {
    this.routed.push(request);
    const requestId = request.requestId === "" ? `made-${this.routed.length}` : request.requestId;
    if (!this.requests.has(requestId)) {
      const number = this.requests.size;
      const refusal = this.behaviour.refuse(request, number);
      if (refusal !== null) return callback(refusal);
      const gpu = this.gpus[number % this.gpus.length];
      const now = timestampFromMs(Date.now());
      const info = create(RequestInfoSchema, {
        requestId,
        userId: request.userId || "anonymous",
        modelId: request.modelId,
        type: request.type || "inference",
        priority: request.priority || 3,
        state: RequestState.PROCESSING,
        assignedGpu: gpu?.gpuId ?? "",
        acceptedTime: now,
        startTime: now,
        attempts: 1,
      });
      this.requests.set(requestId, { request, info, watchers: new Set() });
      const runMs = this.behaviour.runMs(request, number);
      if (runMs !== Number.POSITIVE_INFINITY) {
        const timer = setTimeout(() => {
          this.#timers.delete(timer);
          this.end(requestId, this.behaviour.fate(request, number));
        }, runMs);
        this.#timers.add(timer);
      }
    }
    if (this.behaviour.hopeless) return callback(null, create(RouteResponseSchema, { requestId, status: RouteStatus.QUEUED }) as never);
    const { info } = this.requests.get(requestId) as Held;
    callback(null, create(RouteResponseSchema, { requestId, status: RouteStatus.ACCEPTED, assignedGpu: info.assignedGpu, message: "placed" }) as never);
  }

  #watch(call: ServerWritableStream<WatchRequest, WatchResponse>): void {
    const held = this.requests.get(call.request.requestId);
    if (held === undefined) {
      call.emit("error", notFound(call.request.requestId));
      return;
    }
    if (held.info.state > RequestState.PROCESSING) return this.#tell(call, held);
    call.write(create(WatchResponseSchema, { event: { case: "request", value: held.info } }));
    let offset = 0;
    for (const text of this.behaviour.output) {
      const data = Buffer.from(text);
      call.write(create(WatchResponseSchema, { event: { case: "output", value: { attempt: 1, offset: BigInt(offset), data } } }));
      offset += data.length;
    }
    held.watchers.add(call);
    call.on("cancelled", () => held.watchers.delete(call));
  }

  #tell(call: ServerWritableStream<WatchRequest, WatchResponse>, held: Held): void {
    const message = create(WatchResponseSchema, { event: { case: "request", value: held.info } });
    call.write(message);
    if (this.behaviour.doubleEnd) call.write(message);
    call.end();
  }

  #list(query: ListRequest) {
    const all = Array.from(this.requests.values(), ({ info }) => info)
      .filter((info) => query.states.length === 0 || query.states.includes(info.state))
      .filter((info) => query.userId === "" || query.userId === info.userId)
      .toReversed();
    const from = Number(query.pageToken || "0");
    const to = from + (query.pageSize || 100);
    return create(ListResponseSchema, { requests: all.slice(from, to), nextPageToken: to < all.length ? String(to) : "" });
  }
}

function notFound(requestId: string) {
  return { code: status.NOT_FOUND, details: `no request ${requestId}`, name: "NotFound", message: "not found" };
}


/** An idle, healthy GPU. */
export function fakeGpu(gpuId: string, index: number, change: Omit<Exclude<MessageInitShape<typeof GpuSchema>, Gpu>, "$typeName"> = {}): Gpu {
  return create(GpuSchema, {
    gpuId,
    index,
    nodeId: "node-a",
    name: "Simulated H100",
    computeCapability: "9.0",
    state: GpuState.ACTIVE,
    health: HealthStatus.HEALTHY,
    memory: { totalMib: 81_920, usedMib: 1024, freeMib: 80_896, reservedMib: 0 },
    utilization: { gpuPercent: 12, memoryPercent: 3 },
    temperatureCelsius: 41,
    power: { usageWatts: 90, limitWatts: 700 },
    telemetryAgeMs: 120n,
    models: ["*"],
    simulated: true,
    ...change,
  });
}
