// Bad input, cut wires and lost agents, on real processes: a clear error for who is to blame, nothing lost for anybody else.
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { RequestState, type WatchResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { connectRouter } from "../../src/api/client.js";
import { startProxy } from "./cuttable-proxy.js";
import { agentProcess, attemptEnds, eventually, serveProcess, startAgent, startRouter, temporaryFolder, type RouterProcess } from "./harness.js";

const AT_ONCE = 100_000;
/** Everything that takes seconds by default takes tenths of them. */
const IMPATIENT = { agents: { heartbeat_interval: 0.1, telemetry_interval: 0.2, lease: 1, node_lost_after: 2 } };

async function stateOf({ client }: RouterProcess, requestId: string): Promise<RequestState | undefined> {
  return (await client.status({ requestId })).request?.state;
}

async function runs({ client }: RouterProcess, requestId: string): Promise<void> {
  await eventually(`${requestId} runs`, async () => (await client.status({ requestId })).request?.startTime !== undefined);
}

function finalState(events: readonly WatchResponse[]): RequestState | undefined {
  const event = events.at(-1)?.event;
  return event?.case === "request" ? event.value.state : undefined;
}

describe("Bad input", () => {
  test("an oversized message is refused on both ports, and the router goes on", async () => {
    const router = await startRouter({ config: { api: { max_message_bytes: 100_000 }, agents: { max_result_bytes: 50_000 } } });
    await startAgent({ nodeId: "node-a", router: router.grpcAddress, speed: AT_ONCE });
    const payload = new Uint8Array(5 << 20);
    await expect(router.client.route({ modelId: "m", payload: { case: "payloadBytes", value: payload } })).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: expect.stringMatching(/larger than max/i),
    });
    const response = await fetch(`${router.httpUrl}/gpurouter.v1.RouterService/Route`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model_id: "m", payload_bytes: Buffer.from(payload).toString("base64") }),
    });
    expect(response.status).toBe(429);
    expect(await response.json()).toMatchObject({ code: "resource_exhausted" });
    const { requestId } = await router.client.route({ modelId: "m", payload: { case: "payloadBytes", value: new Uint8Array(50_000) } });
    await eventually("the next one completes", async () => (await stateOf(router, requestId)) === RequestState.COMPLETED);
    expect((await router.client.list({})).requests).toHaveLength(1);
  });

  test("unknown ids are NOT_FOUND in every call, naming the id", async () => {
    const { client, httpUrl } = await startRouter();
    const first = (stream: AsyncIterable<unknown>): Promise<unknown> => stream[Symbol.asyncIterator]().next();
    const calls = [
      client.status({ requestId: "nobody" }),
      client.cancel({ requestId: "nobody" }),
      client.explain({ target: { case: "requestId", value: "nobody" } }),
      client.gpuStatus({ gpuIds: ["nobody"] }),
      first(client.watch({ requestId: "nobody" })),
    ];
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: status.NOT_FOUND, details: expect.stringContaining("nobody") });
    const download = await fetch(`${httpUrl}/api/v1/requests/nobody/result`);
    expect(download.status).toBe(404);
    expect(await download.json()).toEqual({ error: expect.stringContaining("nobody") });
  });

  test("bad fields are named", async () => {
    const { client } = await startRouter();
    const cases = [
      [client.route({ modelId: "" }), "model_id"],
      [client.route({ modelId: "m", priority: 9 }), "priority"],
      [client.route({ modelId: "m", requestId: "no spaces" }), "request_id"],
      [client.route({ modelId: "m", strategy: "astrology" }), "strategy"],
      [client.list({ pageSize: 5000 }), "page_size"],
      [client.list({ pageToken: "made up" }), "page_token"],
      [client.batchRoute({ requests: [] }), "requests"],
      [client.explain({}), "target"],
    ] as const;
    for (const [call, field] of cases) await expect(call).rejects.toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining(field) });
  });
});

describe("A journal that cannot be used", () => {
  test("because it is something else ends the router with what to do, and is left as it is", async () => {
    const data = path.join(await temporaryFolder(), "data");
    await mkdir(data);
    await writeFile(path.join(data, "journal.mdb"), "this is not a journal ".repeat(4_000));
    const router = await serveProcess({ data });
    expect(await router.ended).toBe(1);
    expect(router.stderr).toMatch(/journal\.mdb cannot be opened: it is not a journal.*choose another directory with --data/);
  });
});

describe("A wire that is cut", () => {
  test("between a watcher and the router: the work goes on, and a new watch shows the end", async () => {
    const router = await startRouter();
    await startAgent({ nodeId: "node-a", router: router.grpcAddress, speed: 10 });
    const wire = await startProxy(router.grpcAddress);
    const distant = connectRouter(wire.address);
    await distant.route({ requestId: "watched", modelId: "m", resourceRequirements: { expectedDurationMs: 15_000n } });
    await runs(router, "watched");
    const seen: WatchResponse[] = [];
    const watching = (async () => {
      for await (const event of distant.watch({ requestId: "watched" })) {
        seen.push(event);
        if (seen.length === 1) wire.cut();
      }
    })();
    await expect(watching).rejects.toMatchObject({ code: status.UNAVAILABLE });
    // Output may have come between the first state and the cut; another state may not.
    expect(seen.flatMap(({ event }) => (event.case === "request" ? [event.value.state] : []))).toEqual([RequestState.PROCESSING]);
    const again: WatchResponse[] = [];
    for await (const event of distant.watch({ requestId: "watched" })) again.push(event);
    distant.close();
    expect(finalState(again)).toBe(RequestState.COMPLETED);
    expect(router.process.logged.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  test("between an agent and the router: the attempt runs on and its end arrives over the next stream", async () => {
    const router = await startRouter();
    const wire = await startProxy(router.grpcAddress);
    const agent = await startAgent({ nodeId: "node-a", router: wire.address, speed: 10 });
    const ids = Array.from({ length: 8 }, (_, index) => `r-${index}`);
    for (const requestId of ids) await router.client.route({ requestId, modelId: "m", type: "training", resourceRequirements: { expectedDurationMs: 10_000n } });
    for (const requestId of ids) await runs(router, requestId);
    wire.cut();
    await router.process.line("that the agent is gone", ({ msg }) => msg === "agent disconnected");
    for (const requestId of ids) await eventually(`${requestId} completes`, async () => (await stateOf(router, requestId)) === RequestState.COMPLETED);
    for (const requestId of ids) expect((await router.client.status({ requestId })).request?.attempts).toBe(1);
    expect(attemptEnds([agent]).map(({ request, outcome }) => [request, outcome]).toSorted()).toEqual(ids.map((requestId) => [requestId, "succeeded"]).toSorted());
  });

  test("cut again and again while requests come in: each ends once", async () => {
    const router = await startRouter();
    const wire = await startProxy(router.grpcAddress);
    const agent = await startAgent({ nodeId: "node-a", router: wire.address, speed: 20 });
    const ids: string[] = [];
    for (let round = 0; round < 6; round += 1) {
      for (let index = 0; index < 10; index += 1) {
        const { requestId } = await router.client.route({ modelId: "m", resourceRequirements: { expectedDurationMs: 4_000n } });
        ids.push(requestId);
      }
      wire.cut();
      await eventually("the agent is back", () => wire.connections() > 0);
    }
    for (const requestId of ids) await eventually(`${requestId} completes`, async () => (await stateOf(router, requestId)) === RequestState.COMPLETED);
    const ends = attemptEnds([agent]);
    for (const requestId of ids) {
      const { request } = await router.client.status({ requestId });
      // A dispatch that was lost with the stream is an attempt that never ran.
      expect(ends.filter((end) => end.request === requestId && end.outcome === "succeeded")).toHaveLength(1);
      expect(ends.find((end) => end.request === requestId && end.outcome === "succeeded")?.attempt).toBe(request?.attempts);
    }
  });
});

describe("An agent that is not heard", () => {
  test("stops work that must not run twice before another GPU gets it", async () => {
    const router = await startRouter({ config: IMPATIENT });
    const wire = await startProxy(router.grpcAddress);
    const silent = await startAgent({ nodeId: "silent", router: wire.address, gpus: 1, speed: 1 });
    await router.client.route({ requestId: "train", modelId: "m", type: "training", resourceRequirements: { expectedDurationMs: 600_000n } });
    await runs(router, "train");
    await startAgent({ nodeId: "other", router: router.grpcAddress, gpus: 1, speed: 1 });
    wire.freeze();
    const fenced = await silent.line("the end of the attempt", ({ msg }) => msg === "attempt ended");
    expect(fenced).toMatchObject({ request: "train", attempt: 1, outcome: "fenced" });
    const { request } = await eventually("it runs elsewhere", async () => {
      const now = await router.client.status({ requestId: "train" });
      return now.request?.attempts === 2 && now.request.startTime !== undefined && now;
    });
    expect(request?.assignedGpu).toMatch(/other/);
    expect(Date.parse(String(fenced["time"]))).toBeLessThan(Number(request!.startTime!.seconds) * 1000 + request!.startTime!.nanos / 1e6);
    wire.thaw();
    await eventually("the silent one is back", async () => (await router.client.gpuStatus({})).gpus.every((gpu) => gpu.stateReason === ""));
    expect((await router.client.status({ requestId: "train" })).request).toMatchObject({ state: RequestState.PROCESSING, attempts: 2 });
  });

  test("keeps running what may run twice, and its late result is not taken", async () => {
    const router = await startRouter({ config: IMPATIENT });
    const wire = await startProxy(router.grpcAddress);
    const silent = await startAgent({ nodeId: "silent", router: wire.address, gpus: 1, speed: 1 });
    await router.client.route({ requestId: "infer", modelId: "m", timeoutMs: 600_000n, resourceRequirements: { expectedDurationMs: 6_000n } });
    await runs(router, "infer");
    const other = await startAgent({ nodeId: "other", router: router.grpcAddress, gpus: 1, speed: 10 });
    wire.freeze();
    await eventually("the other one completes it", async () => (await stateOf(router, "infer")) === RequestState.COMPLETED);
    const before = (await router.client.status({ requestId: "infer" })).request!;
    expect(before).toMatchObject({ attempts: 2, assignedGpu: expect.stringMatching(/other/) });
    await silent.line("the end of its attempt", ({ msg }) => msg === "attempt ended");
    wire.thaw();
    await eventually("the silent one is back", async () => (await router.client.gpuStatus({})).gpus.every((gpu) => gpu.stateReason === ""));
    const after = (await router.client.status({ requestId: "infer" })).request!;
    expect({ ...after, durationMs: 0n }).toEqual({ ...before, durationMs: 0n });
    expect(attemptEnds([silent, other]).map(({ attempt, outcome }) => [attempt, outcome]).toSorted()).toEqual([
      [1, "succeeded"],
      [2, "succeeded"],
    ]);
  });

  test("killed with its work: the requests run elsewhere and end once", async () => {
    const router = await startRouter({ config: IMPATIENT });
    const doomed = await startAgent({ nodeId: "doomed", router: router.grpcAddress, gpus: 2, speed: 1 });
    const ids = Array.from({ length: 6 }, (_, index) => `r-${index}`);
    for (const requestId of ids) await router.client.route({ requestId, modelId: "m", timeoutMs: 600_000n, resourceRequirements: { expectedDurationMs: 600_000n } });
    for (const requestId of ids) await runs(router, requestId);
    const heir = await startAgent({ nodeId: "heir", router: router.grpcAddress, gpus: 2, speed: AT_ONCE });
    await doomed.kill();
    for (const requestId of ids) await eventually(`${requestId} completes`, async () => (await stateOf(router, requestId)) === RequestState.COMPLETED);
    expect(attemptEnds([heir]).map(({ request, attempt }) => [request, attempt]).toSorted()).toEqual(ids.map((requestId) => [requestId, 2]).toSorted());
    expect((await router.client.gpuStatus({})).gpus.map(({ nodeId, activeRequests }) => [nodeId, activeRequests])).toEqual([
      ["doomed", 0],
      ["doomed", 0],
      ["heir", 0],
      ["heir", 0],
    ]);
  });

  test("a second agent under a name that is taken is refused and says so", async () => {
    const router = await startRouter();
    const first = await startAgent({ nodeId: "twin", router: router.grpcAddress, speed: AT_ONCE });
    const second = await agentProcess({ nodeId: "twin", router: router.grpcAddress });
    const trouble = await second.line("what is wrong", (line) => String(line["trouble"]).includes("node_id"));
    expect(trouble["trouble"]).toMatch(/Node twin is connected by another agent: give each agent its own node_id/);
    expect(second.logged.some(({ msg }) => msg === "connected to the router")).toBe(false);
    const { requestId } = await router.client.route({ modelId: "m" });
    await first.line("its end", (line) => line.msg === "attempt ended" && line["request"] === requestId);
  });

  test("does not obey a router that has forgotten its epochs", async () => {
    const first = await startRouter();
    await first.process.kill();
    const second = await first.restart();
    const agent = await startAgent({ nodeId: "node-a", router: second.grpcAddress, speed: AT_ONCE });
    await second.process.kill();
    const impostor = await startRouter({ grpcPort: Number(second.grpcAddress.split(":")[1]) });
    expect(impostor.epoch).toBe(1);
    const trouble = await agent.line("what is wrong", (line) => String(line["trouble"]).includes("epoch"));
    expect(trouble["trouble"]).toMatch(/has obeyed epoch 2; this router has epoch 1/);
  });
});
