// The HTTP port: Connect and gRPC-Web over the same handlers, /health, and results as plain downloads. Made by `router/`.
// Listens on loopback only, unless callers say who they are (`guard.ts`) and connections are encrypted. Where they need not say it, only those are
// answered who address the router by a loopback name, which keeps web pages out that point their own name at it. No cross-origin access.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { TLSSocket, type Server as TlsServer } from "node:tls";
import { status as grpcCode } from "@grpc/grpc-js";
import { RouterService } from "../../gen/gpurouter/v1/router_pb.js";
import type { Presented } from "../auth/authenticator.js";
import type { PeerNames } from "../auth/certificate-rules.js";
import { hasRole } from "../auth/principal.js";
import type { RequestId } from "../core/model/ids.js";
import { accessTo, HTTP_ACCESS } from "./access.js";
import { admissionOfWork, CallGate } from "./call-gate.js";
import { peerNames } from "./certificate-names.js";
import { connectMethods, type BoundService } from "./connect-listener.js";
import type { Binding } from "./grpc-handlers.js";
import { OPEN_GUARD, type Caller, type Guard } from "./guard.js";
import { hostAndPort, isLoopback, requireSafeAddress } from "./loopback.js";
import { ApiError } from "./outcomes.js";
import { isRequestId } from "./request-rules.js";
import type { RouterPort } from "./router-port.js";
import type { ServiceHandlers } from "./service-handlers.js";
import type { TlsFiles } from "./tls-files.js";

export interface HttpServerOptions {
  /** A loopback name or address, or another one where it is safe. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly router: ServiceHandlers<typeof RouterService>;
  /** Where results come from. */
  readonly results: Pick<RouterPort, "result" | "owner">;
  readonly log: Binding["log"];
  /** Further services with handlers of the same kind. */
  readonly services?: readonly BoundService[];
  /** Who may call what; everybody everything when left out. */
  readonly guard?: Guard;
  /** Plain text when left out. */
  readonly tls?: TlsFiles | null;
  /** Whether a proxy in front speaks TLS for the router. */
  readonly encryptedByProxy?: boolean;
  /** How long a caller may take to send his headers; 10 s when left out. */
  readonly headersTimeoutMs?: number;
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
/** How often connections are looked at for callers that take too long. */
const CHECK_EVERY_MS = 5_000;
/** For a whole request to arrive; answers may take as long as they want. */
const REQUEST_TIMEOUT_MS = 60_000;
const LAST_WORDS_MS = 1_000;
const ROUTES = "GET /health, GET /api/v1/requests/{id}/result and, by Connect or gRPC-Web, POST /gpurouter.v1.{service}/{method}";
const CHALLENGE = 'Bearer realm="gpu-router", Basic realm="gpu-router", charset="UTF-8"';
const MEDIA_TYPE = /^[\w.+-]+\/[\w.+-]+(?:\s*;\s*[\w.+-]+=(?:[\w.+-]+|"[\w .+-]*"))*$/;

/** A path beside the methods. */
interface Route {
  /** As in `access.ts`: no path without a rule. */
  readonly rule: keyof typeof HTTP_ACCESS;
  readonly path: RegExp;
  serve(response: ServerResponse, caller: Caller, part: string): void;
}

/** Throws at once when it would not be safe to listen on `host`, or a method has no rule in `access.ts`. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { guard = OPEN_GUARD, tls = null, services = [] } = options;
  requireSafeAddress(options.host, { authenticated: guard.on, encrypted: tls !== null || options.encryptedByProxy === true });
  const gate = new CallGate();
  const binding: Binding = {
    gate,
    guard,
    log: options.log,
    admission: admissionOfWork,
  };
  const methods = connectMethods([{ service: RouterService, handlers: options.router }, ...services], options.maxRequestBytes ?? 16 * 1024 * 1024, binding);
  for (const { method } of methods.values()) accessTo(method);
  const routes: readonly Route[] = [
    { rule: "GET /health", path: /^\/health$/, serve: (response) => health(response) },
    { rule: "GET /api/v1/requests/{id}/result", path: /^\/api\/v1\/requests\/([^/]+)\/result$/, serve: (response, caller, id) => download(id, response, caller) },
  ];
  /** By connection: what TLS has verified of the client. */
  const certificates = new WeakMap<object, { readonly names: PeerNames | null }>();
  const headersTimeout = options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS;
  const limits = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout, requestTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: Math.min(CHECK_EVERY_MS, headersTimeout) };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response).catch((error: unknown) => {
      const apiError = error instanceof ApiError ? error : new ApiError({ kind: "internal" });
      if (apiError !== error) options.log.error({ err: error, path: pathOf(request) }, "an HTTP request failed for a reason that is not the caller's");
      fail(response, apiError, methods.has(pathOf(request)));
    });
  };
  const server: Server = tls ? withReload(createTlsServer({ ...limits, ...tls.serverOptions, ...tls.context }, listener), tls) : createServer(limits, listener);
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

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!guard.on && !isLoopback(hostName(request))) {
      json(response, 403, { error: "this server answers only under a loopback name such as localhost or 127.0.0.1" });
      return;
    }
    const path = pathOf(request);
    const method = methods.get(path);
    if (method) {
      const admitted = guard.admit(accessTo(method.method), path.slice(1), presented(request));
      method.serve(request, response, admitted instanceof Promise ? await admitted : admitted);
      return;
    }
    for (const route of routes) {
      const match = request.method === "GET" ? route.path.exec(path) : null;
      if (match) return route.serve(response, await guard.admit(HTTP_ACCESS[route.rule], route.rule, presented(request)), match[1] ?? "");
    }
    json(response, 404, { error: `${request.method} ${path} does not exist; there is ${ROUTES}` });
  }

  function presented({ headers, rawHeaders, socket }: IncomingMessage): Presented {
    // Node keeps the first of two.
    const count = headers.authorization === undefined ? 0 : rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === "authorization").length;
    return {
      authorization: headers.authorization ?? null,
      doubled: count > 1,
      address: socket.remoteAddress ?? "",
      certificate() {
        let known = certificates.get(socket);
        if (!known) certificates.set(socket, (known = { names: socket instanceof TLSSocket && socket.authorized ? peerNames(socket.getPeerCertificate()) : null }));
        return known.names;
      },
    };
  }

  function health(response: ServerResponse): void {
    const { draining } = gate;
    json(response, draining ? 503 : 200, { ...options.healthDetails?.(), status: draining ? "draining" : "ok" });
  }

  function download(requestId: string, response: ServerResponse, { principal }: Caller): void {
    const { results } = options;
    // Of another's request no more is said than of one that is not there.
    const mayHave = isRequestId(requestId) && (hasRole(principal, "admin") || results.owner(requestId as RequestId) === principal.name);
    const result = mayHave ? results.result(requestId as RequestId) : null;
    if (!result) throw new ApiError({ kind: "no_result", requestId });
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

/** To a method's caller in the words of Connect, which its clients understand. */
function fail(response: ServerResponse, error: ApiError, toMethod: boolean): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  if (error.httpStatus === 401) response.setHeader("www-authenticate", CHALLENGE);
  if (error.retryAfterMs > 0) response.setHeader("retry-after", String(Math.ceil(error.retryAfterMs / 1_000)));
  // Who was refused is not listened to any longer.
  if (error.httpStatus === 401 || error.httpStatus === 403) response.setHeader("connection", "close");
  json(response, error.httpStatus, toMethod ? { code: statusName(error), message: error.message } : { error: error.message });
}

/** As Connect writes codes: "permission_denied". */
function statusName({ code }: ApiError): string {
  return (grpcCode[code] ?? "UNKNOWN").toLowerCase();
}

/** New connections get new certificates. */
function withReload<S extends TlsServer>(server: S, files: TlsFiles): S {
  const unlisten = files.onChange((context) => server.setSecureContext(context));
  server.on("close", unlisten);
  return server;
}

function pathOf({ url = "" }: IncomingMessage): string {
  return url.split("?", 1)[0] ?? "";
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
