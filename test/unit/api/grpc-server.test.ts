import { once } from "node:events";
import * as http2 from "node:http2";
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "@jest/globals";
import * as grpc from "@grpc/grpc-js";
import { RouteRequestSchema, RouterService, RouteStatus, RequestState, type RouteRequest, type RouteResponse } from "../../../gen/gpurouter/v1/router_pb.js";
import { createGrpcServer } from "../../../src/api/grpc-server.js";
import { grpcServiceDefinition } from "../../../src/wire/grpc-service-definition.js";
import { createRouterService } from "../../../src/api/router-service.js";
import type { WatchEvent } from "../../../src/api/router-port.js";
import { aborted, FakeRouter, gpuOf, requestId, viewOf } from "./fake-router.js";
import { afterThisTest, ErrorLog, serveGrpc } from "./serving.js";

describe("unary calls", () => {
  test("Route answers with where the request stands", async () => {
    const { client, router } = await serveGrpc();
    const answer = await client.route({ requestId: "r-1", modelId: "llama" });
    expect(answer).toMatchObject({ requestId: "r-1", status: RouteStatus.QUEUED, queuePosition: 1, message: "waiting for a GPU" });
    expect(router.specs).toHaveLength(1);
  });

  test("a client made by makeClientConstructor speaks to the server", async () => {
    const { address } = await serveGrpc();
    const RouterClient = grpc.makeClientConstructor(grpcServiceDefinition(RouterService), "RouterService");
    const client = new RouterClient(address, grpc.credentials.createInsecure());
    afterThisTest(() => client.close());
    type Route = (request: RouteRequest, callback: grpc.requestCallback<RouteResponse>) => grpc.ClientUnaryCall;
    const route = client["route"] as unknown as Route;
    const answer = await new Promise<RouteResponse | undefined>((resolve, reject) => {
      route.call(client, create(RouteRequestSchema, { requestId: "r-2", modelId: "m" }), (error, response) => (error ? reject(error) : resolve(response)));
    });
    expect(answer?.requestId).toBe("r-2");
  });

  test("an unknown id is NOT_FOUND with what that can mean", async () => {
    const { client } = await serveGrpc();
    const expected = { code: grpc.status.NOT_FOUND, details: 'no request with id "nobody"; finished requests are kept for the retention period' };
    await expect(client.status({ requestId: "nobody" })).rejects.toMatchObject(expected);
    await expect(client.cancel({ requestId: "nobody" })).rejects.toMatchObject(expected);
    await expect(client.explain({ target: { case: "requestId", value: "nobody" } })).rejects.toMatchObject(expected);
    await expect(client.watch({ requestId: "nobody" })[Symbol.asyncIterator]().next()).rejects.toMatchObject(expected);
  });

  test("a full queue says when to try again, in words and as a trailer", async () => {
    const { client, router } = await serveGrpc();
    router.outcome = () => ({ kind: "queue_full", what: "requests", limit: 10, retryAfterMs: 1_500 });
    const error = (await client.route({ modelId: "m" }).catch((thrown: unknown) => thrown)) as grpc.ServiceError;
    expect(error.code).toBe(grpc.status.RESOURCE_EXHAUSTED);
    expect(error.details).toBe("the queue is full: its limit is 10 requests; try again in 1500 ms");
    expect(error.metadata.get("retry-after-ms")).toEqual(["1500"]);
    // Which bound it was, for machines: other refusals have the same status.
    expect(String(error.metadata.get("grpc-status-details-bin"))).toContain("QUEUE_FULL");
  });

  test("violations travel as error details beside the message", async () => {
    const { client } = await serveGrpc();
    const error = (await client.route({ priority: 9 }).catch((thrown: unknown) => thrown)) as grpc.ServiceError;
    expect(error.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(error.details).toContain("priority: must be less than or equal to 5");
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    expect(String(bytes)).toContain("type.googleapis.com/buf.validate.Violations");
    expect(String(bytes)).toContain("uint32.lte");
  });

  test("a message above the limit is RESOURCE_EXHAUSTED and the server lives on", async () => {
    const { client, router } = await serveGrpc({ maxRequestBytes: 64 * 1024 });
    const payload = { case: "payloadBytes" as const, value: new Uint8Array(128 * 1024) };
    await expect(client.route({ modelId: "m", payload })).rejects.toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED });
    expect(router.specs).toHaveLength(0);
    await expect(client.route({ modelId: "m" })).resolves.toMatchObject({ status: RouteStatus.QUEUED });
  });

  test("bytes that are no message are INVALID_ARGUMENT with the type and the reason", async () => {
    const { address } = await serveGrpc();
    const client = new grpc.Client(address, grpc.credentials.createInsecure());
    afterThisTest(() => client.close());
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      client.makeUnaryRequest("/gpurouter.v1.RouterService/Route", (bytes: Buffer) => bytes, (bytes) => bytes, Buffer.from([0x0a, 0xff]), resolve);
    });
    expect(error?.code).toBe(grpc.status.INVALID_ARGUMENT);
    expect(error?.details).toMatch(/^the request is not a valid gpurouter\.v1\.RouteRequest: /);
  });

  test("a message cut in the middle reaches nobody and the server lives on", async () => {
    const { address, client, router, log } = await serveGrpc();
    const session = http2.connect(`http://${address}`);
    await once(session, "connect");
    const stream = session.request({
      ":method": "POST",
      ":path": "/gpurouter.v1.RouterService/Route",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    // A frame that promises 100 bytes, and 3 of them.
    stream.write(Buffer.from([0, 0, 0, 0, 100, 0x1a, 0x01, 0x6d]));
    await new Promise<void>((resolve) => session.ping(() => resolve()));
    session.destroy();
    await expect(client.route({ modelId: "m" })).resolves.toMatchObject({ status: RouteStatus.QUEUED });
    expect(router.specs).toHaveLength(1);
    expect(log.entries).toEqual([]);
  });

  test("a failure inside is INTERNAL without its reason, which the log gets without the payload", async () => {
    const { client, router, log } = await serveGrpc();
    router.outcome = () => Promise.reject(new Error("disk on fire"));
    const payload = { case: "payloadBytes" as const, value: new TextEncoder().encode("secret prompt") };
    await expect(client.route({ modelId: "m", payload })).rejects.toMatchObject({
      code: grpc.status.INTERNAL,
      details: "internal error; the router's log has the cause",
    });
    expect(log.entries).toEqual([[{ err: new Error("disk on fire"), method: "gpurouter.v1.RouterService/Route" }, expect.any(String)]]);
    expect(JSON.stringify(log.entries)).not.toContain("secret");
  });

  test("an answer that cannot be encoded is INTERNAL and logged", async () => {
    const { client, router, log } = await serveGrpc();
    router.views.set("r-1", viewOf({ spec: { ...viewOf().request.spec, priority: 1.5 as 1 } }));
    await expect(client.status({ requestId: "r-1" })).rejects.toMatchObject({ code: grpc.status.INTERNAL });
    expect(log.entries).toHaveLength(1);
  });

  test("an expired deadline ends the call while the router still thinks", async () => {
    const { client, router } = await serveGrpc();
    let finish: () => void = () => {};
    router.outcome = () => new Promise((resolve) => (finish = () => resolve({ kind: "draining" })));
    await expect(client.route({ modelId: "m" }, { deadlineMs: 50 })).rejects.toMatchObject({ code: grpc.status.DEADLINE_EXCEEDED });
    finish();
  });

  test("an aborted signal cancels the call", async () => {
    const { client, router } = await serveGrpc();
    const abort = new AbortController();
    let finish: () => void = () => {};
    router.outcome = () => {
      abort.abort();
      return new Promise((resolve) => (finish = () => resolve({ kind: "draining" })));
    };
    await expect(client.route({ modelId: "m" }, { signal: abort.signal })).rejects.toMatchObject({ code: grpc.status.CANCELLED });
    finish();
  });

  test("a batch is answered in order, refusals in place", async () => {
    const { client, router } = await serveGrpc();
    const accept = router.outcome;
    router.outcome = (spec) =>
      spec.requestId === "b" ? { kind: "id_conflict", requestId: requestId("b") } : spec.requestId === "d" ? { kind: "queue_full", what: "requests", limit: 10, retryAfterMs: 1_500 } : accept(spec);
    const { responses } = await client.batchRoute({ requests: ["a", "b", "c", "d"].map((id) => ({ requestId: id, modelId: "m" })) });
    expect(responses.map(({ requestId: id, status }) => [id, status])).toEqual([
      ["a", RouteStatus.QUEUED],
      ["b", RouteStatus.REJECTED],
      ["c", RouteStatus.QUEUED],
      ["d", RouteStatus.REJECTED],
    ]);
    expect(responses.map(({ rejection, retryAfterMs }) => [rejection, retryAfterMs])).toEqual([["", 0n], ["id_conflict", 0n], ["", 0n], ["queue_full", 1_500n]]);
    expect(responses[1]?.message).toContain("accepted before with other content");
  });
});

describe("streams", () => {
  test("Watch passes events on and ends when the request has", async () => {
    const { client, router } = await serveGrpc({}, () => 9_000);
    router.events = async function* (): AsyncGenerator<WatchEvent> {
      yield { kind: "request", view: viewOf({ phase: "running", startedAtMs: 5_000 }) };
      yield { kind: "progress", fraction: 0.5, message: "half" };
      yield { kind: "output", attempt: 1, offset: 3, data: new Uint8Array([1, 2]) };
      yield { kind: "request", view: viewOf({ phase: "completed", startedAtMs: 5_000, endedAtMs: 8_000 }) };
    };
    const events = [];
    for await (const { event } of client.watch({ requestId: "r-1" })) events.push(event);
    expect(events).toMatchObject([
      { case: "request", value: { state: RequestState.PROCESSING, durationMs: 4_000n } },
      { case: "progress", value: { fraction: 0.5, message: "half" } },
      { case: "output", value: { attempt: 1, offset: 3n } },
      { case: "request", value: { state: RequestState.COMPLETED, durationMs: 3_000n } },
    ]);
  });

  test("leaving the loop cancels the stream and the router hears of it", async () => {
    const { client, router, log } = await serveGrpc();
    let gone: Promise<void> = Promise.resolve();
    router.events = async function* (_id, signal): AsyncGenerator<WatchEvent> {
      gone = aborted(signal);
      yield { kind: "progress", fraction: 0.1, message: "" };
      await gone;
    };
    for await (const { event } of client.watch({ requestId: "r-1" })) {
      expect(event.case).toBe("progress");
      break;
    }
    await gone;
    expect(log.entries).toEqual([]);
  });

  test("an aborted signal ends a stream with CANCELLED", async () => {
    const { client, router } = await serveGrpc();
    router.events = async function* (_id, signal): AsyncGenerator<WatchEvent> {
      yield { kind: "progress", fraction: 0.1, message: "" };
      await aborted(signal);
    };
    const abort = new AbortController();
    const read = async (): Promise<void> => {
      for await (const _ of client.watch({ requestId: "r-1" }, { signal: abort.signal })) abort.abort();
    };
    await expect(read()).rejects.toMatchObject({ code: grpc.status.CANCELLED });
  });

  test("an error in the middle of a stream is INTERNAL and logged", async () => {
    const { client, router, log } = await serveGrpc();
    router.events = async function* (): AsyncGenerator<WatchEvent> {
      yield { kind: "progress", fraction: 0.1, message: "" };
      throw new Error("lost my place");
    };
    const seen: number[] = [];
    const read = async (): Promise<void> => {
      for await (const { event } of client.watch({ requestId: "r-1" })) if (event.case === "progress") seen.push(event.value.fraction);
    };
    await expect(read()).rejects.toMatchObject({ code: grpc.status.INTERNAL });
    expect(seen).toEqual([0.1]);
    expect(log.entries).toHaveLength(1);
  });

  test("a reader that stops reading stops the source within a few messages", async () => {
    const { client, router } = await serveGrpc();
    const model = "x".repeat(64 * 1024);
    let made = 0;
    let pulled: () => void = () => {};
    router.changes = async function* (_token, _interval, signal) {
      while (!signal.aborted && made < 10_000) {
        made++;
        pulled();
        yield { sequence: made, snapshot: true, gpus: [gpuOf("sim-0", { models: [model] })], resumeToken: "", atMs: 1 };
      }
    };
    const reader = client.watchGpus({})[Symbol.asyncIterator]();
    const sequence = async (): Promise<bigint | undefined> => {
      const next = await reader.next();
      return next.done ? undefined : next.value.sequence;
    };
    expect(await sequence()).toBe(1n);
    // Nothing pulled for a while means that the source rests.
    await new Promise<void>((resolve) => {
      let timer = setTimeout(resolve, 1_000);
      pulled = () => {
        clearTimeout(timer);
        timer = setTimeout(resolve, 300);
      };
    });
    const madeForNobody = made;
    expect(madeForNobody).toBeLessThan(60);
    for (let expected = 2n; expected <= BigInt(madeForNobody) + 5n; expected++) expect(await sequence()).toBe(expected);
    await reader.return?.();
  });
});

describe("listening and refusing", () => {
  test.each(["0.0.0.0", "::", "192.168.1.4", "example.com", "", "127.0.0.1.example.com"])("refuses to listen on %p", (host) => {
    expect(() => createGrpcServer({ host, port: 0, router: createRouterService(new FakeRouter()), log: new ErrorLog() })).toThrow(
      /authentication is not configured; only loopback addresses are allowed/,
    );
  });

  test.each(["localhost", "127.0.0.1", "127.3.2.1", "::1"])("takes %p as loopback", (host) => {
    expect(() => createGrpcServer({ host, port: 0, router: createRouterService(new FakeRouter()), log: new ErrorLog() })).not.toThrow();
  });

  test("a port that is taken is an error that names it", async () => {
    const { address } = await serveGrpc();
    const port = Number(address.split(":")[1]);
    grpc.setLogVerbosity(grpc.logVerbosity.NONE);
    afterThisTest(() => grpc.setLogVerbosity(grpc.logVerbosity.ERROR));
    const second = createGrpcServer({ host: "127.0.0.1", port, router: createRouterService(new FakeRouter()), log: new ErrorLog() });
    await expect(second.listen()).rejects.toThrow(new RegExp(`^cannot listen on 127.0.0.1:${port} for gRPC: EADDRINUSE, .* --grpc-port`));
  });

  test("a method that does not exist is UNIMPLEMENTED", async () => {
    const { address } = await serveGrpc();
    const client = new grpc.Client(address, grpc.credentials.createInsecure());
    afterThisTest(() => client.close());
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      client.makeUnaryRequest("/gpurouter.v1.RouterService/Nope", (bytes: Buffer) => bytes, (bytes) => bytes, Buffer.alloc(0), resolve);
    });
    expect(error?.code).toBe(grpc.status.UNIMPLEMENTED);
  });
});
