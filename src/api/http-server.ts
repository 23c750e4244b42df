// The HTTP port: Connect and gRPC-Web over the same handlers, /health, and results as plain downloads. Made by `router/`.
// Listens on loopback only, and answers only callers that address it by a loopback name, which keeps web pages out that
// point their own name at it. No cross-origin access.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { AdminService } from "../../gen/gpurouter/v1/admin_pb.js";
import { RouterService } from "../../gen/gpurouter/v1/router_pb.js";
import type { RequestId } from "../core/model/ids.js";
import { CallGate } from "./call-gate.js";
import { createConnectListener } from "./connect-listener.js";
import type { Binding } from "./grpc-handlers.js";
import { hostAndPort, isLoopback, requireLoopback } from "./loopback.js";
import { ApiError } from "./outcomes.js";
import { isRequestId } from "./request-rules.js";
import type { RouterPort } from "./router-port.js";
import type { ServiceHandlers } from "./service-handlers.js";

export interface HttpServerOptions {
  /** A loopback name or address. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly router: ServiceHandlers<typeof RouterService>;
  /** What operators do; not served when left out. */
  readonly admin?: ServiceHandlers<typeof AdminService>;
  /** Where results come from. */
  readonly results: Pick<RouterPort, "result">;
  readonly log: Binding["log"];
  /** Largest request; 16 MiB when left out. */
  readonly maxRequestBytes?: number;
  /** Added to what /health says. */
  readonly healthDetails?: () => Readonly<Record<string, unknown>>;
}

export interface HttpServer {
  /** Resolves to the port when calls are taken; rejects with what to do when the address cannot be used. */
  listen(): Promise<number>;
  /** As `GrpcServer.drain`; /health answers 503 meanwhile. */
  drain(graceMs: number): Promise<void>;
}

const MAX_HEADER_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 1_024;
const HEADERS_TIMEOUT_MS = 10_000;
/** For a whole request to arrive; answers may take as long as they want. */
const REQUEST_TIMEOUT_MS = 60_000;
const LAST_WORDS_MS = 1_000;
const ROUTES = "GET /health, GET /api/v1/requests/{id}/result and, by Connect or gRPC-Web, POST /gpurouter.v1.RouterService/{method} and /gpurouter.v1.AdminService/{method}";
const RESULT_PATH = /^\/api\/v1\/requests\/([^/]+)\/result$/;
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+(?:\s*;\s*[\w.+-]+=(?:[\w.+-]+|"[\w .+-]*"))*$/;

/** Throws at once when `host` is not a loopback address. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  requireLoopback(options.host);
  const gate = new CallGate();
  const binding: Binding = {
    gate,
    log: options.log,
    admission: (method) => (method === RouterService.method.watchGpus ? "unawaited" : "awaited"),
  };
  const rpc = createConnectListener({ router: options.router, admin: options.admin ?? null }, options.maxRequestBytes ?? 16 * 1024 * 1024, binding);
  const limits = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS };
  const server = createServer(limits, (request, response) => {
    try {
      answer(request, response);
    } catch (error) {
      options.log.error({ err: error, path: request.url }, "an HTTP request failed for a reason that is not the caller's");
      fail(response, new ApiError({ kind: "internal" }));
    }
  });
  server.maxConnections = MAX_CONNECTIONS;

  return {
    listen() {
      const { host, port } = options;
      return new Promise((resolve, reject) => {
        server.once("error", (error) => reject(new Error(`cannot listen on ${hostAndPort(host, port)} for HTTP: ${error.message}`, { cause: error })));
        server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
      });
    },
    async drain(graceMs) {
      await gate.drain(graceMs);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), LAST_WORDS_MS);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    },
  };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    if (!isLoopback(hostName(request))) {
      json(response, 403, { error: "this server answers only under a loopback name such as localhost or 127.0.0.1" });
      return;
    }
    const path = (request.url ?? "").split("?", 1)[0] ?? "";
    if (rpc(path, request, response)) return;
    const result = RESULT_PATH.exec(path)?.[1];
    if (request.method === "GET" && path === "/health") health(response);
    else if (request.method === "GET" && result !== undefined) download(result, response);
    else json(response, 404, { error: `${request.method} ${path} does not exist; there is ${ROUTES}` });
  }

  function health(response: ServerResponse): void {
    const { draining } = gate;
    json(response, draining ? 503 : 200, { ...options.healthDetails?.(), status: draining ? "draining" : "ok" });
  }

  function download(requestId: string, response: ServerResponse): void {
    const result = isRequestId(requestId) ? options.results.result(requestId as RequestId) : null;
    if (!result) {
      fail(response, new ApiError({ kind: "no_result", requestId }));
      return;
    }
    // Results are whatever the work wrote: a browser must neither guess at them nor show them as a page of this server.
    response.writeHead(200, {
      "content-type": MEDIA_TYPE.test(result.contentType) ? result.contentType : "application/octet-stream",
      "content-length": result.bytes.byteLength,
      "content-disposition": "attachment",
      "x-content-type-options": "nosniff",
      "cache-control": "no-store",
    });
    response.end(result.bytes);
  }
}

function fail(response: ServerResponse, { httpStatus, message }: ApiError): void {
  json(response, httpStatus, { error: message });
}

function json(response: ServerResponse, status: number, body: Readonly<Record<string, unknown>>): void {
  response.writeHead(status, { "content-type": "application/json", "x-content-type-options": "nosniff", "cache-control": "no-store" });
  response.end(`${JSON.stringify(body)}\n`);
}

/** The host that the caller asked for, without its port; "" when it cannot be part of a URL. */
function hostName({ headers }: IncomingMessage): string {
  const origin = `http://${headers.host ?? ""}`;
  return URL.canParse(origin) ? new URL(origin).hostname : "";
}
