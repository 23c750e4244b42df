import { describe, expect, test } from "@jest/globals";
import * as grpc from "@grpc/grpc-js";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { AgentService } from "../../../gen/gpurouter/v1/agent_pb.js";
import { RouterService } from "../../../gen/gpurouter/v1/router_pb.js";
import type { WatchEvent } from "../../../src/api/router-port.js";
import { aborted, viewOf } from "./fake-router.js";
import { afterThisTest, serveGrpc, serveHttp } from "./serving.js";

const refusal = { code: grpc.status.UNAVAILABLE, details: expect.stringContaining("the router is shutting down") };

/** An iterable that says one thing and then waits for the end. */
async function* untilAborted<T>(first: T, signal: AbortSignal): AsyncGenerator<T> {
  yield first;
  await aborted(signal);
}

describe("draining the gRPC server", () => {
  test("calls under way finish, new ones are refused, then the port closes", async () => {
    const { client, router, server } = await serveGrpc();
    let finish: () => void = () => {};
    const accept = router.outcome;
    const arrived = new Promise<void>((resolve) => {
      router.outcome = (spec) => {
        resolve();
        return new Promise((answer) => (finish = () => answer(accept(spec))));
      };
    });
    const running = client.route({ requestId: "early", modelId: "m" });
    await arrived;
    const drained = server.drain(20_000);

    await expect(client.route({ modelId: "m" })).rejects.toMatchObject(refusal);
    const late = (await client.route({ modelId: "m" }).catch((error: unknown) => error)) as grpc.ServiceError;
    expect(late.metadata.get("retry-after-ms")).toEqual(["1000"]);
    await expect(client.watchGpus({})[Symbol.asyncIterator]().next()).rejects.toMatchObject(refusal);

    finish();
    await expect(running).resolves.toMatchObject({ requestId: "early" });
    await drained;
    await expect(client.route({ modelId: "m" })).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE });
  });

  test("a watched request is waited for, a watched fleet is not", async () => {
    const { client, router, server } = await serveGrpc();
    let end: () => void = () => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    router.events = async function* (): AsyncGenerator<WatchEvent> {
      yield { kind: "request", view: viewOf({ phase: "running" }) };
      await ended;
      yield { kind: "request", view: viewOf({ phase: "completed" }) };
    };
    router.changes = (_token, _interval, signal) => untilAborted({ sequence: 1, snapshot: true, gpus: [], resumeToken: "", atMs: 1 }, signal);
    const watch = client.watch({ requestId: "r-1" })[Symbol.asyncIterator]();
    const fleet = client.watchGpus({})[Symbol.asyncIterator]();
    await watch.next();
    await fleet.next();

    const drained = server.drain(20_000);
    end();
    expect(await watch.next()).toMatchObject({ done: false });
    expect(await watch.next()).toMatchObject({ done: true });
    await expect(fleet.next()).rejects.toMatchObject(refusal);
    await drained;
  });

  test("what outlasts the grace is ended with UNAVAILABLE", async () => {
    const { client, router, server } = await serveGrpc();
    router.events = (_id, signal) => untilAborted<WatchEvent>({ kind: "progress", fraction: 0, message: "" }, signal);
    const watch = client.watch({ requestId: "r-1" })[Symbol.asyncIterator]();
    await watch.next();
    await server.drain(10);
    await expect(watch.next()).rejects.toMatchObject(refusal);
  });

  test("a call that never ends does not keep the drain from ending", async () => {
    const { client, router, server } = await serveGrpc();
    let arrive: () => void = () => {};
    const arrived = new Promise<void>((resolve) => (arrive = resolve));
    router.outcome = () => {
      arrive();
      return new Promise(() => {});
    };
    const running = client.route({ modelId: "m" });
    const answered = expect(running).rejects.toMatchObject(refusal);
    await arrived;
    await server.drain(10);
    await answered;
  });
});

describe("services that drain themselves", () => {
  test("a stream that its owner leaves open is cut in the end", async () => {
    let opened: () => void = () => {};
    const open = new Promise<void>((resolve) => (opened = resolve));
    const { address, server } = await serveGrpc({ extraServices: [{ service: AgentService, implementation: { connect: () => opened() } }] });
    const client = new grpc.Client(address, grpc.credentials.createInsecure());
    afterThisTest(() => client.close());
    const call = client.makeBidiStreamRequest("/gpurouter.v1.AgentService/Connect", (bytes: Buffer) => bytes, (bytes) => bytes);
    const ended = new Promise<grpc.StatusObject>((resolve) => call.on("status", resolve));
    call.on("error", () => {});
    call.resume();
    call.write(Buffer.alloc(0));
    await open;
    await server.drain(10);
    expect((await ended).code).not.toBe(grpc.status.OK);
  });
});

describe("draining the HTTP server", () => {
  test("/health says so with 503, calls are refused with Retry-After, those under way finish", async () => {
    const { baseUrl, router, server } = await serveHttp();
    let finish: () => void = () => {};
    const accept = router.outcome;
    const arrived = new Promise<void>((resolve) => {
      router.outcome = (spec) => {
        resolve();
        return new Promise((answer) => (finish = () => answer(accept(spec))));
      };
    });
    const route = (): Promise<Response> =>
      fetch(`${baseUrl}/gpurouter.v1.RouterService/Route`, { method: "POST", headers: { "content-type": "application/json" }, body: '{"modelId":"m"}' });
    const running = route();
    await arrived;
    const drained = server.drain(20_000);

    const health = await fetch(`${baseUrl}/health`);
    expect([health.status, await health.json()]).toEqual([503, { status: "draining" }]);
    const refused = await route();
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await refused.json()).toMatchObject({ code: "unavailable", message: expect.stringContaining("shutting down") });

    finish();
    expect((await running).status).toBe(200);
    await drained;
    await expect(fetch(`${baseUrl}/health`)).rejects.toThrow();
  });

  test("a watched fleet is ended with the reason", async () => {
    const { baseUrl, router, server } = await serveHttp();
    router.changes = (_token, _interval, signal) => untilAborted({ sequence: 1, snapshot: true, gpus: [], resumeToken: "", atMs: 1 }, signal);
    const client = createClient(RouterService, createConnectTransport({ baseUrl, httpVersion: "1.1" }));
    const fleet = client.watchGpus({})[Symbol.asyncIterator]();
    await fleet.next();
    const drained = server.drain(20_000);
    await expect(fleet.next()).rejects.toMatchObject({ code: Code.Unavailable, rawMessage: expect.stringContaining("shutting down") });
    await drained;
  });

  test("a call that never ends is answered when the grace is over", async () => {
    const { baseUrl, router, server } = await serveHttp();
    let arrive: () => void = () => {};
    const arrived = new Promise<void>((resolve) => (arrive = resolve));
    router.outcome = () => {
      arrive();
      return new Promise(() => {});
    };
    const client = createClient(RouterService, createConnectTransport({ baseUrl, httpVersion: "1.1" }));
    const answered = expect(client.route({ modelId: "m" })).rejects.toMatchObject({ code: Code.Unavailable });
    await arrived;
    await server.drain(10);
    await answered;
  });
});
