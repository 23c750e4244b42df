// Connect and gRPC-Web on node:http. Stands where connect-node's own adapter would, which reports a caller that hangs up
// as an error on the console. Used by `http-server.ts`.
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createConnectRouter, createContextValues } from "@connectrpc/connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { bindConnectHandlers, callerKey } from "./connect-handlers.js";
import type { Binding } from "./grpc-handlers.js";
import type { Caller } from "./guard.js";
import type { ServiceHandlers } from "./service-handlers.js";

/** A service with what answers it. */
export interface BoundService<S extends DescService = DescService> {
  readonly service: S;
  readonly handlers: ServiceHandlers<S>;
}

/** A method by its path. */
export interface ConnectMethod {
  readonly method: DescMethod;
  /** Answers a call of somebody who may call. */
  readonly serve: (request: IncomingMessage, response: ServerResponse, caller: Caller) => void;
}

/** The methods of the services by path, such as "/gpurouter.v1.RouterService/Route". */
export function connectMethods(services: readonly BoundService[], maxRequestBytes: number, binding: Binding): ReadonlyMap<string, ConnectMethod> {
  const router = createConnectRouter({
    // HTTP/1.1 has no trailers that a gRPC client would read; gRPC has its own port.
    grpc: false,
    readMaxBytes: maxRequestBytes,
    // A misspelt field is an error, not a default.
    jsonOptions: { ignoreUnknownFields: false },
    // On loopback compression costs more than it saves.
    acceptCompression: [],
  });
  for (const { service, handlers } of services) bindConnectHandlers(router, service, handlers, binding);
  return new Map(
    router.handlers.map((handler) => [
      handler.requestPath,
      {
        method: handler.method,
        serve(request, response, caller) {
          handler(universalRequestFromNodeRequest(request, response, undefined, createContextValues().set(callerKey, caller)))
            .then((answer) => universalResponseToNodeResponse(answer, response))
            .catch((error: unknown) => {
              // Writing to a caller that has gone fails, and interests nobody.
              if (!response.destroyed) binding.log.error({ err: error, method: handler.requestPath }, "an answer could not be written");
              response.destroy();
            });
        },
      },
    ]),
  );
}
