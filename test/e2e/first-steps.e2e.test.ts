// What a newcomer does first, on real processes: a router, an agent with simulated GPUs, and every call once.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "@jest/globals";
import { status } from "@grpc/grpc-js";
import { RequestState, RouteStatus, type WatchGpusResponse, type WatchResponse } from "../../gen/gpurouter/v1/router_pb.js";
import { connectRouter, type RouterClient } from "../../src/api/client.js";
import { afterThisTest, connectedTo, eventually, runCommand, serveProcess, startAgent, startRouter, temporaryFolder, TestProcess, type RouterProcess } from "./harness.js";

const run = promisify(execFile);
const BUF = path.resolve("node_modules/.bin/buf");
/** Takes no time worth waiting for. */
const AT_ONCE = 100_000;

async function routerAndAgent(speed: number, gpus = 4): Promise<RouterProcess> {
  const router = await startRouter();
  await startAgent({ nodeId: "node-a", router: router.grpcAddress, gpus, speed });
  return router;
}

async function watchToEnd(client: RouterClient, requestId: string): Promise<WatchResponse[]> {
  const seen: WatchResponse[] = [];
  for await (const event of client.watch({ requestId }, { deadlineMs: 20_000 })) seen.push(event);
  return seen;
}

describe("The typed client", () => {
  test("routes a request, watches it to its end and finds its result", async () => {
    const { client, httpUrl } = await routerAndAgent(100);
    const answer = await client.route({ requestId: "first", modelId: "llama-2-70b", resourceRequirements: { inputTokens: 500, outputTokens: 200 } });
    expect(answer.requestId).toBe("first");
    expect(answer.status).toBe(RouteStatus.ACCEPTED);
    expect(answer.assignedGpu).toMatch(/sim/i);

    const events = await watchToEnd(client, "first");
    expect(events[0]?.event.case).toBe("request");
    const last = events.at(-1)?.event;
    expect(last?.case === "request" && last.value.state).toBe(RequestState.COMPLETED);

    const { request } = await client.status({ requestId: "first" });
    expect(request).toMatchObject({ state: RequestState.COMPLETED, assignedGpu: answer.assignedGpu, attempts: 1, progress: 1, modelId: "llama-2-70b" });
    const result = JSON.parse(Buffer.from(request!.result).toString()) as Record<string, unknown>;
    expect(result).toMatchObject({ simulated: true, output_tokens: 200, gpu_id: answer.assignedGpu });

    expect(request!.resultUrl).toBe(`${httpUrl}/api/v1/requests/first/result`);
    const download = await fetch(request!.resultUrl);
    expect(download.status).toBe(200);
    expect(download.headers.get("content-type")).toBe("application/json");
    expect(await download.json()).toEqual(result);
  });

  test("gets the first answer again for the same id and content, and a refusal for other content", async () => {
    const { client } = await routerAndAgent(AT_ONCE);
    const wanted = { requestId: "same", modelId: "m", priority: 4 };
    const first = await client.route(wanted);
    await watchToEnd(client, "same");
    const again = await client.route(wanted);
    expect(again).toMatchObject({ requestId: "same", assignedGpu: first.assignedGpu });
    await expect(client.route({ ...wanted, priority: 1 })).rejects.toMatchObject({ code: status.ALREADY_EXISTS });
    expect((await client.status({ requestId: "same" })).request?.attempts).toBe(1);
  });

  test("cancels a request that runs, and the GPU is free again", async () => {
    const { client } = await routerAndAgent(0.01);
    const { requestId } = await client.route({ modelId: "m" });
    await eventually("the request runs", async () => (await client.status({ requestId })).request?.startTime !== undefined);
    await client.cancel({ requestId, reason: "changed my mind" });
    const events = await watchToEnd(client, requestId);
    const last = events.at(-1)?.event;
    expect(last?.case === "request" && last.value.state).toBe(RequestState.CANCELLED);
    expect((await client.gpuStatus({})).gpus.map((gpu) => gpu.activeRequests)).toEqual([0, 0, 0, 0]);
  });

  test("lists requests newest first, in pages, and by state and user", async () => {
    const { client } = await routerAndAgent(AT_ONCE);
    const ids = Array.from({ length: 25 }, (_, index) => `list-${index}`);
    for (const [index, requestId] of ids.entries()) {
      await client.route({ requestId, modelId: "m", userId: index % 5 === 0 ? "eve" : "bob" });
      await watchToEnd(client, requestId);
    }
    const listed: string[] = [];
    let pageToken = "";
    do {
      const page = await client.list({ pageSize: 10, pageToken });
      listed.push(...page.requests.map((request) => request.requestId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(listed).toEqual(ids.toReversed());
    const eves = await client.list({ userId: "eve", states: [RequestState.COMPLETED], pageSize: 1000 });
    expect(eves.requests.map((request) => request.requestId)).toEqual(["list-20", "list-15", "list-10", "list-5", "list-0"]);
    expect((await client.list({ states: [RequestState.FAILED] })).requests).toEqual([]);
  });

  test("routes a batch, each with its own outcome", async () => {
    const { client } = await routerAndAgent(AT_ONCE);
    await client.route({ requestId: "taken", modelId: "m" });
    const { responses } = await client.batchRoute({
      requests: [
        { requestId: "batch-1", modelId: "m" },
        { requestId: "taken", modelId: "another" },
        { requestId: "batch-2", modelId: "m" },
      ],
    });
    expect(responses.map((response) => [response.requestId, response.status])).toEqual([
      ["batch-1", RouteStatus.ACCEPTED],
      ["taken", RouteStatus.REJECTED],
      ["batch-2", RouteStatus.ACCEPTED],
    ]);
    expect(responses[1]?.message).toContain("taken");
  });

  test("explains a decision, and one that is not made", async () => {
    const { client } = await routerAndAgent(AT_ONCE);
    const { assignedGpu, requestId } = await client.route({ modelId: "m" });
    const made = await client.explain({ target: { case: "requestId", value: requestId } });
    expect(made).toMatchObject({ dryRun: false });
    expect(made.decision?.candidates[0]?.gpuId).toBe(assignedGpu);
    const dry = await client.explain({ target: { case: "dryRun", value: { modelId: "m", specificGpuId: assignedGpu } } });
    expect(dry.dryRun).toBe(true);
    expect(dry.decision?.candidates.map((candidate) => candidate.gpuId)).toEqual([assignedGpu]);
    const impossible = await client.explain({ target: { case: "dryRun", value: { modelId: "m", resourceRequirements: { memoryMib: 10_000_000 } } } });
    expect(impossible.decision?.candidates).toEqual([]);
    expect(impossible.summary).not.toBe("");
  });

  test("sees the GPUs, then their changes, and resumes where it was", async () => {
    const { client } = await routerAndAgent(0.01);
    const { gpus } = await eventually("all GPUs have telemetry", async () => {
      const fleet = await client.gpuStatus({});
      return fleet.gpus.length === 4 && fleet.gpus.every((gpu) => gpu.telemetryAgeMs !== undefined) && fleet;
    });
    expect(gpus.every((gpu) => gpu.simulated && gpu.nodeId === "node-a" && (gpu.memory?.totalMib ?? 0) > 0)).toBe(true);

    const first = client.watchGpus({ minIntervalMs: 10 })[Symbol.asyncIterator]();
    const snapshot = (await first.next()).value as WatchGpusResponse;
    expect(snapshot.snapshot).toBe(true);
    expect(snapshot.gpus.map((gpu) => gpu.gpuId)).toEqual(gpus.map((gpu) => gpu.gpuId));

    const { assignedGpu } = await client.route({ modelId: "m" });
    const change = await nextWith(first, (message) => message.gpus.some((gpu) => gpu.gpuId === assignedGpu && gpu.activeRequests === 1));
    expect(change.snapshot).toBe(false);
    expect(change.sequence).toBeGreaterThan(snapshot.sequence);
    await first.return?.();

    // What happens between the two streams is not missed, and nothing else is sent again.
    const second = await client.route({ modelId: "m" });
    const resumed = client.watchGpus({ minIntervalMs: 10, resumeToken: change.resumeToken })[Symbol.asyncIterator]();
    const after = (await resumed.next()).value as WatchGpusResponse;
    expect(after.snapshot).toBe(false);
    const caughtUp = after.gpus.some((gpu) => gpu.gpuId === second.assignedGpu && gpu.activeRequests > 0);
    if (!caughtUp) await nextWith(resumed, (message) => message.gpus.some((gpu) => gpu.gpuId === second.assignedGpu && gpu.activeRequests > 0));
    await resumed.return?.();

    const stale = client.watchGpus({ resumeToken: "0.0" })[Symbol.asyncIterator]();
    expect(((await stale.next()).value as WatchGpusResponse).snapshot).toBe(true);
    await stale.return?.();
  });
});

async function nextWith(stream: AsyncIterator<WatchGpusResponse>, matches: (message: WatchGpusResponse) => boolean): Promise<WatchGpusResponse> {
  for (let message = await stream.next(); message.done !== true; message = await stream.next()) if (matches(message.value)) return message.value;
  throw new Error("The stream of GPUs ended.");
}

describe("Other ways in", () => {
  test("Connect over HTTP takes and gives JSON", async () => {
    const { httpUrl } = await routerAndAgent(AT_ONCE);
    const call = async (method: string, body: object): Promise<{ code: number; answer: Record<string, unknown> }> => {
      const response = await fetch(`${httpUrl}/gpurouter.v1.RouterService/${method}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      return { code: response.status, answer: (await response.json()) as Record<string, unknown> };
    };
    const routed = await call("Route", { request_id: "http-1", model_id: "m" });
    expect(routed).toMatchObject({ code: 200, answer: { requestId: "http-1", status: "ROUTE_STATUS_ACCEPTED" } });
    await eventually("it completes", async () => {
      const { answer } = await call("Status", { request_id: "http-1" });
      return (answer["request"] as { state: string }).state === "REQUEST_STATE_COMPLETED";
    });
    expect(await call("Status", { request_id: "nobody" })).toMatchObject({ code: 404, answer: { code: "not_found" } });
    expect(await call("Route", { request_id: "http-2" })).toMatchObject({ code: 400, answer: { code: "invalid_argument" } });
    const health = await fetch(`${httpUrl}/health`);
    expect(health.status).toBe(200);
    expect(await health.json()).toMatchObject({ epoch: 1, connected_nodes: 1 });
  });

  test("buf curl finds its way by reflection alone, in both versions of it", async () => {
    const { grpcAddress } = await routerAndAgent(AT_ONCE);
    const curl = (...args: string[]): Promise<{ stdout: string }> => run(process.execPath, [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", ...args]);
    for (const version of ["grpc-v1", "grpc-v1alpha"]) {
      const { stdout } = await curl("--reflect-protocol", version, "--list-services", `http://${grpcAddress}`);
      expect(stdout.split("\n")).toEqual(expect.arrayContaining(["gpurouter.v1.AgentService", "gpurouter.v1.RouterService"]));
    }
    const { stdout } = await curl("-d", '{"request_id":"curled","model_id":"m"}', `http://${grpcAddress}/gpurouter.v1.RouterService/Route`);
    expect(JSON.parse(stdout)).toMatchObject({ requestId: "curled", status: "ROUTE_STATUS_ACCEPTED" });
  }, 60_000);

  test("the command line routes, waits and prints the result", async () => {
    const { grpcAddress } = await routerAndAgent(AT_ONCE);
    const { exitCode, stdout } = await runCommand(["route", "--router", grpcAddress, "--model", "m", "--id", "cli-1", "--wait"]);
    expect(exitCode).toBe(0);
    // The output as it comes, or the result when it was all over before anybody looked: both say what made them.
    expect(stdout).toMatch(/"simulated":\s*true|\[simulated\]/);
    const shown = await runCommand(["status", "cli-1", "--router", grpcAddress, "--json"]);
    expect(JSON.parse(shown.stdout)).toMatchObject({ request: { state: "REQUEST_STATE_COMPLETED" } });
  });
});

describe("Starting and stopping", () => {
  test("`up` is a router and an agent in one: it says where it listens, works, and stops on Ctrl-C", async () => {
    const data = path.join(await temporaryFolder(), "data");
    const agentConfig = path.join(await temporaryFolder(), "agent.yaml");
    await writeFile(agentConfig, "probe: { mode: simulated, simulated: { gpus: 2, speed: 100000 } }\n");
    const up = new TestProcess("up", ["up", "--json", "--data", data, "--grpc-port", "0", "--http-port", "0", "--agent-config", agentConfig]);
    const ready = await eventually("it is ready", () => up.stdout.endsWith("\n") && (JSON.parse(up.stdout) as { grpc: string; http: string; gpus: number }));
    expect(ready).toMatchObject({ gpus: 2, simulated: true, epoch: 1, data });
    const client = connectRouter(ready.grpc);
    afterThisTest(() => client.close());
    const { requestId } = await client.route({ modelId: "m" });
    const last = (await watchToEnd(client, requestId)).at(-1)?.event;
    expect(last?.case === "request" && last.value.state).toBe(RequestState.COMPLETED);
    up.child.kill("SIGINT");
    expect(await up.ended).toBe(0);
    expect(up.stderr).toContain("accepted requests are safe either way");
  });

  test("a second router on the same data is refused and told what to do", async () => {
    const router = await startRouter();
    const second = await serveProcess({ data: router.data });
    expect(await second.ended).toBe(1);
    expect(second.stderr).toMatch(/is in use by another gpu-router process: stop that one, or choose another directory/);
    expect((await router.client.gpuStatus({})).gpus).toEqual([]);
  });

  test("a port that is taken is named, and the data is free again", async () => {
    const taken = net.createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    afterThisTest(() => taken.close());
    const { port } = taken.address() as net.AddressInfo;
    const { data, process: first } = await startRouter();
    await first.stop();
    const refused = await serveProcess({ data, grpcPort: port });
    expect(await refused.ended).toBe(1);
    expect(refused.stderr).toContain(`${port}`);
    await startRouter({ data });
  });

  test("SIGTERM drains: a watch goes on to the end within the grace, new calls are refused, the exit code is 0", async () => {
    const router = await startRouter({ graceSeconds: 10 });
    await startAgent({ nodeId: "node-a", router: router.grpcAddress, speed: 10 });
    await router.client.route({ requestId: "long", modelId: "m", resourceRequirements: { expectedDurationMs: 20_000n } });
    const watching = watchToEnd(router.client, "long");
    await eventually("it runs", async () => (await router.client.status({ requestId: "long" })).request?.startTime !== undefined);
    const ended = router.process.stop();
    await eventually("new calls are refused", () => router.client.route({ modelId: "m" }).then(() => false, (error: { code: number }) => error.code === status.UNAVAILABLE));
    const last = (await watching).at(-1)?.event;
    expect(last?.case === "request" && last.value.state).toBe(RequestState.COMPLETED);
    expect(await ended).toBe(0);
    expect(router.process.logged.at(-1)?.msg).toBe("stopped");
    expect(router.process.stderr).toBe("");
  });

  test("what waits when the router stops runs after it comes back, under the next epoch", async () => {
    const router = await startRouter();
    await router.client.route({ requestId: "patient", modelId: "m" });
    expect(await router.process.stop()).toBe(0);
    const again = await router.restart();
    expect(again.epoch).toBe(router.epoch + 1);
    expect((await again.client.status({ requestId: "patient" })).request?.state).toBe(RequestState.QUEUED);
    const agent = await startAgent({ nodeId: "node-a", router: again.grpcAddress, speed: AT_ONCE });
    await connectedTo(agent, again.epoch);
    const last = (await watchToEnd(again.client, "patient")).at(-1)?.event;
    expect(last?.case === "request" && last.value.state).toBe(RequestState.COMPLETED);
  });

  test("an agent that is stopped finishes its work and takes no more", async () => {
    const router = await startRouter();
    const agent = await startAgent({ nodeId: "node-a", router: router.grpcAddress, speed: 10, graceSeconds: 20 });
    await router.client.route({ requestId: "last", modelId: "m", resourceRequirements: { expectedDurationMs: 10_000n } });
    await eventually("it runs", async () => (await router.client.status({ requestId: "last" })).request?.startTime !== undefined);
    const ended = agent.stop();
    await agent.line("that it waits", (line) => line.msg === "waiting for running attempts");
    await eventually("no GPU serves anything", async () => (await router.client.gpuStatus({})).gpus.every((gpu) => gpu.models.length === 0));
    await router.client.route({ requestId: "too-late", modelId: "m" });
    expect(await ended).toBe(0);
    expect((await router.client.status({ requestId: "last" })).request?.state).toBe(RequestState.COMPLETED);
    expect((await router.client.status({ requestId: "too-late" })).request?.state).toBe(RequestState.QUEUED);
  });
});
