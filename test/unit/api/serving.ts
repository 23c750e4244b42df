// Starts the servers over a fake router for one test file, and stops them.
import { afterEach } from "@jest/globals";
import { connectRouter, type RouterClient } from "../../../src/api/client.js";
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from "../../../src/api/grpc-server.js";
import { createHttpServer, type HttpServer, type HttpServerOptions } from "../../../src/api/http-server.js";
import { createRouterService } from "../../../src/api/router-service.js";
import { FakeRouter } from "./fake-router.js";

/** What was logged as an error. */
export class ErrorLog {
  readonly entries: unknown[][] = [];
  readonly error = (...entry: unknown[]): void => {
    this.entries.push(entry);
  };
}

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

/** Runs `stop` after the present test. */
export function afterThisTest(stop: () => unknown): void {
  stops.push(stop);
}

export interface ServedGrpc {
  readonly router: FakeRouter;
  readonly log: ErrorLog;
  readonly server: GrpcServer;
  readonly address: string;
  readonly client: RouterClient;
}

export async function serveGrpc(options: Partial<GrpcServerOptions> = {}, now?: () => number): Promise<ServedGrpc> {
  const router = new FakeRouter();
  const log = new ErrorLog();
  const server = createGrpcServer({ host: "127.0.0.1", port: 0, router: createRouterService(router, now), log, ...options });
  const address = `127.0.0.1:${await server.listen()}`;
  const client = connectRouter(address);
  afterThisTest(async () => {
    client.close();
    await server.drain(0);
  });
  return { router, log, server, address, client };
}

export interface ServedHttp {
  readonly router: FakeRouter;
  readonly log: ErrorLog;
  readonly server: HttpServer;
  readonly port: number;
  readonly baseUrl: string;
}

export async function serveHttp(options: Partial<HttpServerOptions> = {}): Promise<ServedHttp> {
  const router = new FakeRouter();
  const log = new ErrorLog();
  const server = createHttpServer({ host: "127.0.0.1", port: 0, router: createRouterService(router), results: router, log, ...options });
  const port = await server.listen();
  afterThisTest(() => server.drain(0));
  return { router, log, server, port, baseUrl: `http://127.0.0.1:${port}` };
}
