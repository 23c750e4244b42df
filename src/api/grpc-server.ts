// The gRPC port: grpc-js serving RouterService, health, reflection and what the caller adds. Made by `router/`.
// Listens on loopback only, unless callers say who they are (`guard.ts`) and connections are encrypted. What the methods do is in the
// handlers; how they are bound, in `grpc-handlers.ts`.
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { Server, ServerCredentials, type UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { RouterService } from "../../gen/gpurouter/v1/router_pb.js";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "../../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { accessTo, type Access } from "./access.js";
import { admissionOfWork, CallGate } from "./call-gate.js";
import type { BoundService } from "./connect-listener.js";
import { guardInterceptor } from "./grpc-guard.js";
import { bindGrpcHandlers, type Binding, type GrpcService } from "./grpc-handlers.js";
import { grpcServiceDefinition } from "../wire/grpc-service-definition.js";
import { collectCallsYoung } from "./http2-stream-table.js";
import { ReloadingCredentials } from "./grpc-tls.js";
import { OPEN_GUARD, type Guard } from "./guard.js";
import { guardListeners } from "./guarded-listeners.js";
import { createServerHealth, type ServerHealth } from "./health.js";
import { hostAndPort, requireSafeAddress } from "./loopback.js";
import { ApiError } from "./outcomes.js";
import { createReflection } from "./reflection.js";
import type { ServiceHandlers } from "./service-handlers.js";
import type { TlsFiles } from "./tls-files.js";

/** A service that is written against grpc-js itself. It is reflected like the others; its owner ends its calls on a drain. */
export interface ExtraService {
  readonly service: DescService;
  /** One function of grpc-js per method, by lower-camel name, over decoded messages. */
  readonly implementation: UntypedServiceImplementation;
}

export interface GrpcServerOptions {
  /** A loopback name or address, or another one where it is safe. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly router: ServiceHandlers<typeof RouterService>;
  readonly log: Pick<Logger, "error">;
  readonly extraServices?: readonly ExtraService[];
  /** Further services with handlers of the same kind. */
  readonly services?: readonly BoundService[];
  /** Who may call what; everybody everything when left out. */
  readonly guard?: Guard;
  /** Plain text when left out. */
  readonly tls?: TlsFiles | null;
  /** Whether a proxy in front speaks TLS for the router. */
  readonly encryptedByProxy?: boolean;
  /** Largest request; 16 MiB when left out. */
  readonly maxRequestBytes?: number;
  /** Calls under way on one connection; 1,000 when left out. */
  readonly maxConcurrentCalls?: number;
  /** How often a connection is asked whether its other end still lives; 30 s when left out. */
  readonly keepaliveMs?: number;
}

export interface GrpcServer {
  /** What grpc.health.v1 says; `drain` sets it to not serving. */
  readonly health: ServerHealth;
  /** Resolves to the port when calls are taken; rejects with what to do when the address cannot be used. */
  listen(): Promise<number>;
  /**
   * Refuses new calls with UNAVAILABLE, gives those under way `graceMs`, ends the streams that are left, closes the port and
   * resolves when every connection is gone. WatchGpus, which has no end, is not waited for.
   */
  drain(graceMs: number): Promise<void>;
}

/** How long connections have for the last statuses before they are cut. */
const LAST_WORDS_MS = 1_000;

/** Connections at a time: callers and agents. */
const MAX_CONNECTIONS = 16_384;

/** Throws at once when it would not be safe to listen on `host`, or a method has no rule in `access.ts`. */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const { guard = OPEN_GUARD, tls = null, services = [] } = options;
  requireSafeAddress(options.host, { authenticated: guard.on, encrypted: tls !== null || options.encryptedByProxy === true });
  const keepaliveMs = options.keepaliveMs ?? 30_000;
  const accessByPath = new Map<string, Access>();
  const logFailure = (error: unknown, path: string): ApiError => {
    options.log.error({ err: error, method: path }, "a caller could not be checked");
    return new ApiError({ kind: "internal" });
  };
  const server = new Server({
    interceptors: [guardInterceptor(guard, accessByPath, logFailure)],
    "grpc.max_receive_message_length": options.maxRequestBytes ?? 16 * 1024 * 1024,
    "grpc.max_concurrent_streams": options.maxConcurrentCalls ?? 1_000,
    "grpc.keepalive_time_ms": keepaliveMs,
    "grpc.keepalive_timeout_ms": Math.min(keepaliveMs, 10_000),
    // Costs time on every call, and has leaked.
    "grpc.enable_channelz": 0,
  });

  const gate = new CallGate();
  const extraServices = options.extraServices ?? [];
  const workServices = [RouterService, ...services.map(({ service }) => service), ...extraServices.map(({ service }) => service)];
  const health = createServerHealth(workServices.map(({ typeName }) => typeName));
  const reflection = createReflection([...workServices, Health]);

  const work: Binding = {
    gate,
    guard,
    log: options.log,
    admission: admissionOfWork,
  };
  // Those who watch a router go down must be able to ask it.
  const watching: Binding = { gate, guard, log: options.log, admission: () => "free" };
  const add = (service: DescService, { definition, implementation }: GrpcService): void => {
    for (const method of service.methods) accessByPath.set(pathOf(method), accessTo(method));
    server.addService(definition, implementation);
  };
  add(RouterService, bindGrpcHandlers(RouterService, options.router, work));
  add(Health, bindGrpcHandlers(Health, health.handlers, watching));
  add(ServerReflection, bindGrpcHandlers(ServerReflection, reflection.v1, watching));
  add(ServerReflectionAlpha, bindGrpcHandlers(ServerReflectionAlpha, reflection.v1alpha, watching));
  for (const { service, handlers } of services) add(service, bindGrpcHandlers(service, handlers, work));
  for (const { service, implementation } of extraServices) {
    add(service, { definition: grpcServiceDefinition(service), implementation });
  }

  let boundAddress: string | null = null;
  return {
    health,
    listen() {
      const address = hostAndPort(options.host, options.port);
      return new Promise((resolve, reject) => {
        server.bindAsync(address, tls ? new ReloadingCredentials(tls) : ServerCredentials.createInsecure(), (error, port) => {
          if (error) {
            reject(new Error(`cannot listen on ${address} for gRPC: ${error.message}`, { cause: error }));
            return;
          }
          boundAddress = hostAndPort(options.host, port);
          guardListeners(server, MAX_CONNECTIONS);
          collectCallsYoung(server);
          resolve(port);
        });
      });
    },
    async drain(graceMs) {
      health.setServing(false);
      await gate.drain(graceMs);
      // forceShutdown would not do: without channelz it knows no connections (grpc-js 1.14.7).
      if (boundAddress !== null) server.drain(boundAddress, LAST_WORDS_MS);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    },
  };
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}
