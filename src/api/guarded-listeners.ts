// What the listeners behind a gRPC server are told beside what grpc-js tells them: how many connections they take, and that two
// authorization headers are none. Node keeps the first of two and drops the other silently, and what stands before the router may have
// looked at the other one. The listeners are grpc-js's own, so a version that hides them stops the start instead of going unguarded.
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { isMap } from "node:util/types";
import type { Server } from "@grpc/grpc-js";
import { DOUBLED } from "./grpc-guard.js";

/** Call once the server is bound. Throws when the listeners cannot be found. */
export function guardListeners(server: Server, maxConnections: number): void {
  const { http2Servers } = server as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
  if (!isMap(http2Servers) || http2Servers.size === 0) throw new Error("the listeners of this version of @grpc/grpc-js cannot be guarded: use the version in package.json");
  for (const listener of http2Servers.keys()) {
    listener.maxConnections = maxConnections;
    // Before grpc-js looks at the headers.
    listener.prependListener("stream", refuseDoubledHeaders);
  }
}

function refuseDoubledHeaders(_stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, rawHeaders: readonly string[]): void {
  if (headers.authorization === undefined) return;
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) if (rawHeaders[index] === "authorization") count += 1;
  if (count > 1) headers.authorization = DOUBLED;
}
