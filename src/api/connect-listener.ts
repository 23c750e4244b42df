// Connect and gRPC-Web on node:http. Stands where connect-node's own adapter would, which reports a caller that hangs up
// as an error on the console. Used by `http-server.ts`.
import type { IncomingMessage, ServerResponse } from "node:http";
import { createConnectRouter } from "@connectrpc/connect";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { AdminService } from "../../gen/gpurouter/v1/admin_pb.js";
import { RouterService } from "../../gen/gpurouter/v1/router_pb.js";
import { bindConnectHandlers } from "./connect-handlers.js";
import type { Binding } from "./grpc-handlers.js";
import type { ServiceHandlers } from "./service-handlers.js";

/** What is served; an absent service is not. */
export interface ConnectServices {
  readonly router: ServiceHandlers<typeof RouterService>;
  readonly admin: ServiceHandlers<typeof AdminService> | null;
}

/** Answers a call of one of the services; returns false, and does nothing, when `path` is not one of their methods. */
export type ConnectListener = (path: string, request: IncomingMessage, response: ServerResponse) => boolean;

export function createConnectListener(services: ConnectServices, maxRequestBytes: number, binding: Binding): ConnectListener {
  const router = createConnectRouter({
    // HTTP/1.1 has no trailers that a gRPC client would read; gRPC has its own port.
    grpc: false,
    readMaxBytes: maxRequestBytes,
    // A misspelt field is an error, not a default.
    jsonOptions: { ignoreUnknownFields: false },
    // On loopback compression costs more than it saves.
    acceptCompression: [],
  });
  bindConnectHandlers(router, RouterService, services.router, binding);
  if (services.admin) bindConnectHandlers(router, AdminService, services.admin, binding);
  const methods = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return (path, request, response) => {
    const method = methods.get(path);
    if (!method) return false;
    method(universalRequestFromNodeRequest(request, response, undefined, undefined))
      .then((answer) => universalResponseToNodeResponse(answer, response))
      .catch((error: unknown) => {
        // Writing to a caller that has gone fails, and interests nobody.
        if (!response.destroyed) binding.log.error({ err: error, method: path }, "an answer could not be written");
        response.destroy();
      });
    return true;
  };
}
