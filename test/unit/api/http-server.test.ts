import { request as httpRequest } from "node:http";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { describe, expect, test } from "@jest/globals";
import { RouterService, RouteStatus } from "../../../gen/gpurouter/v1/router_pb.js";
import { createHttpServer } from "../../../src/api/http-server.js";
import type { WatchEvent } from "../../../src/api/router-port.js";
import { createRouterService } from "../../../src/api/router-service.js";
import { aborted, FakeRouter } from "./fake-router.js";
import { ErrorLog, serveHttp } from "./serving.js";

const transports: [string, (baseUrl: string) => Transport][] = [
  ["Connect with JSON", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  ["Connect with protobuf", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true })],
  // One connection per call: a refused body that was not read to its end costs the connection.
  ["gRPC-Web", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1", nodeOptions: { agent: false } })],
];

describe.each(transports)("%s", (_name, transport) => {
  test("a unary call is answered", async () => {
    const { baseUrl, router } = await serveHttp();
    const answer = await createClient(RouterService, transport(baseUrl)).route({ requestId: "r-1", modelId: "llama" });
    expect(answer).toMatchObject({ requestId: "r-1", status: RouteStatus.QUEUED });
    expect(router.specs).toHaveLength(1);
  });

  test("a refusal has the same words, with its violations", async () => {
    const { baseUrl } = await serveHttp();
    const error = ConnectError.from(await createClient(RouterService, transport(baseUrl)).route({ priority: 9, modelId: "m" }).catch((thrown: unknown) => thrown));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(error.rawMessage).toBe("priority: must be less than or equal to 5");
    expect(error.findDetails(ViolationsSchema)).toMatchObject([{ violations: [{ ruleId: "uint32.lte" }] }]);
  });

  test("a full queue says when to try again", async () => {
    const { baseUrl, router } = await serveHttp();
    router.outcome = () => ({ kind: "queue_full", what: "bytes", limit: 10, retryAfterMs: 1_500 });
    const error = ConnectError.from(await createClient(RouterService, transport(baseUrl)).route({ modelId: "m" }).catch((thrown: unknown) => thrown));
    expect(error.code).toBe(Code.ResourceExhausted);
    expect(error.metadata.get("retry-after")).toBe("2");
    expect(error.metadata.get("retry-after-ms")).toBe("1500");
  });

  test("a failure inside is internal without its reason, which is logged", async () => {
    const { baseUrl, router, log } = await serveHttp();
    router.outcome = () => Promise.reject(new Error("disk on fire"));
    const error = ConnectError.from(await createClient(RouterService, transport(baseUrl)).route({ modelId: "m" }).catch((thrown: unknown) => thrown));
    expect(error.code).toBe(Code.Internal);
    expect(error.rawMessage).not.toContain("fire");
    expect(log.entries).toHaveLength(1);
  });

  test("a deadline ends a call that the router does not answer", async () => {
    const { baseUrl, router } = await serveHttp();
    router.outcome = () => new Promise(() => {});
    const error = ConnectError.from(await createClient(RouterService, transport(baseUrl)).route({ modelId: "m" }, { timeoutMs: 100 }).catch((thrown: unknown) => thrown));
    expect(error.code).toBe(Code.DeadlineExceeded);
  });

  test("a stream arrives message by message until the caller cancels it", async () => {
    const { baseUrl, router, log } = await serveHttp();
    let gone: Promise<void> = Promise.resolve();
    router.events = async function* (_id, signal): AsyncGenerator<WatchEvent> {
      gone = aborted(signal);
      yield { kind: "progress", fraction: 0.1, message: "" };
      yield { kind: "progress", fraction: 0.2, message: "" };
      await gone;
    };
    const seen: unknown[] = [];
    const cancel = new AbortController();
    const read = async (): Promise<void> => {
      for await (const { event } of createClient(RouterService, transport(baseUrl)).watch({ requestId: "r-1" }, { signal: cancel.signal })) {
        seen.push(event.case === "progress" && event.value.fraction);
        if (seen.length === 2) cancel.abort();
      }
    };
    await expect(read()).rejects.toMatchObject({ code: Code.Canceled });
    expect(seen).toEqual([0.1, 0.2]);
    await gone;
    expect(log.entries).toEqual([]);
  });

  test("a stream of an unknown request is not_found", async () => {
    const { baseUrl } = await serveHttp();
    const watch = createClient(RouterService, transport(baseUrl)).watch({ requestId: "nobody" })[Symbol.asyncIterator]();
    await expect(watch.next()).rejects.toMatchObject({ code: Code.NotFound });
  });

  test("a message above the limit is refused and the server lives on", async () => {
    const { baseUrl } = await serveHttp({ maxRequestBytes: 64 * 1024 });
    const client = createClient(RouterService, transport(baseUrl));
    const payload = { case: "payloadBytes" as const, value: new Uint8Array(128 * 1024) };
    await expect(client.route({ modelId: "m", payload })).rejects.toMatchObject({ code: Code.ResourceExhausted });
    await expect(client.route({ modelId: "m" })).resolves.toMatchObject({ status: RouteStatus.QUEUED });
  });
});

/** fetch does not let one choose the Host header. */
function getAs(host: string, port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on("error", reject);
    request.end();
  });
}

describe("plain HTTP", () => {
  test("/health is ok, with what the router adds", async () => {
    const { baseUrl } = await serveHttp({ healthDetails: () => ({ gpus: 4 }) });
    const response = await fetch(`${baseUrl}/health`);
    expect([response.status, await response.json()]).toEqual([200, { status: "ok", gpus: 4 }]);
  });

  test("a result is downloaded as it was stored, and never shown as a page", async () => {
    const { baseUrl, router } = await serveHttp();
    router.results.set("job:1", { bytes: new TextEncoder().encode("<script>"), contentType: "text/html; charset=utf-8" });
    const response = await fetch(`${baseUrl}/api/v1/requests/job:1/result`);
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "content-length": "8",
      "content-disposition": "attachment",
      "x-content-type-options": "nosniff",
    });
    expect(await response.text()).toBe("<script>");
  });

  test.each(["", "nonsense", "text/plain\r\nx: y", "text/plain; \u2028"])("a result of media type %j is served as bytes", async (contentType) => {
    const { baseUrl, router } = await serveHttp();
    router.results.set("r-1", { bytes: new Uint8Array([1]), contentType });
    const response = await fetch(`${baseUrl}/api/v1/requests/r-1/result`);
    expect(response.headers.get("content-type")).toBe("application/octet-stream");
  });

  test.each(["nobody", "%00", "..%2f..%2fetc", "%zz"])("the result of %j is 404 with the reason as JSON", async (id) => {
    const { baseUrl } = await serveHttp();
    const response = await fetch(`${baseUrl}/api/v1/requests/${id}/result`);
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({ error: expect.stringContaining("no result for request") });
  });

  test.each([
    ["GET", "/"],
    ["GET", "/api/v1/requests"],
    ["POST", "/health"],
    ["POST", "/gpurouter.v1.RouterService/Nope"],
  ])("%s %s is 404 and names what exists", async (method, path) => {
    const { baseUrl } = await serveHttp();
    const response = await fetch(baseUrl + path, { method });
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({ error: expect.stringContaining(`${method} ${path} does not exist; there is GET /health`) });
  });

  test("a field that does not exist is refused, not ignored", async () => {
    const { baseUrl, router } = await serveHttp();
    const response = await fetch(`${baseUrl}/gpurouter.v1.RouterService/Route`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"modelId":"m","prioritty":5}',
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "invalid_argument", message: expect.stringContaining("prioritty") });
    expect(router.specs).toEqual([]);
  });

  test.each([
    ["localhost", 200],
    ["127.0.0.1:8080", 200],
    ["[::1]:8080", 200],
    ["LOCALHOST:80", 200],
    ["router.example.com", 403],
    ["127.0.0.1.example.com:8080", 403],
    ["localhost.example.com", 403],
    ["localhost:99999", 403],
    ["[::1", 403],
  ])("a caller that asks for host %p gets %i", async (host, status) => {
    const { port } = await serveHttp();
    expect(await getAs(host, port, "/health")).toBe(status);
  });

  test("a failure inside is 500 without its reason, which is logged, and the server lives on", async () => {
    let broken = true;
    const healthDetails = (): Record<string, unknown> => {
      if (broken) throw new Error("no idea");
      return {};
    };
    const { baseUrl, log } = await serveHttp({ healthDetails });
    const response = await fetch(`${baseUrl}/health`);
    expect([response.status, await response.json()]).toEqual([500, { error: "internal error; the router's log has the cause" }]);
    expect(log.entries).toHaveLength(1);
    broken = false;
    expect((await fetch(`${baseUrl}/health`)).status).toBe(200);
  });

  test.each([
    ["without a content type that a message can have", { method: "POST", body: "{}", headers: { "content-type": "application/x-www-form-urlencoded" } }, 415, "content-type: application/json"],
    ["by GET", { method: "GET" }, 405, "by POST"],
  ])("a call %s is told what it lacks", async (_what, init, status, words) => {
    const { baseUrl } = await serveHttp();
    const response = await fetch(`${baseUrl}/gpurouter.v1.RouterService/List`, init);
    expect(response.status).toBe(status);
    expect(((await response.json()) as { error: string }).error).toContain(words);
  });

  test("other origins get no access", async () => {
    const { baseUrl } = await serveHttp();
    const response = await fetch(`${baseUrl}/gpurouter.v1.RouterService/Route`, {
      method: "OPTIONS",
      headers: { origin: "https://evil.example", "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
    });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("refuses to listen on anything but loopback", () => {
    const router = new FakeRouter();
    expect(() => createHttpServer({ host: "0.0.0.0", port: 0, router: createRouterService(router), results: router, log: new ErrorLog() })).toThrow(
      /authentication is not configured; only loopback addresses are allowed/,
    );
  });

  test("a port that is taken is an error that names it", async () => {
    const { port, router } = await serveHttp();
    const second = createHttpServer({ host: "127.0.0.1", port, router: createRouterService(router), results: router, log: new ErrorLog() });
    await expect(second.listen()).rejects.toThrow(`cannot listen on 127.0.0.1:${port} for HTTP: EADDRINUSE, another program has this port, perhaps another gpu-router: stop it, or take another one with --http-port`);
  });
});
