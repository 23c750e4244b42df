// Real work through real processes: a command of the operator's, and a completion from a server that speaks as vLLM does.
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { RequestState, type RequestInfo, type WatchResponse } from "../../gen/gpurouter/v1/router_pb.js";
import type { RouterClient } from "../../src/api/client.js";
import { afterThisTest, attemptEnds, eventually, startAgent, startRouter, temporaryFolder } from "./harness.js";

/** A stream that is read in the background and looked at while it runs. */
class Watched {
  readonly events: WatchResponse["event"][] = [];
  readonly ended: Promise<RequestInfo>;

  constructor(client: RouterClient, requestId: string) {
    this.ended = (async () => {
      for await (const { event } of client.watch({ requestId }, { deadlineMs: 25_000 })) this.events.push(event);
      const last = this.events.at(-1);
      if (last?.case !== "request") throw new Error("The watch did not end with a state.");
      return last.value;
    })();
    // Looked at through `ended` when the test gets there.
    this.ended.catch(() => {});
  }

  get output(): string {
    const pieces = this.events.flatMap((event) => (event.case === "output" ? [event.value] : []));
    // Each attempt begins anew.
    const offsets = new Map<number, number>();
    for (const { attempt, offset, data } of pieces) {
      expect(Number(offset)).toBe(offsets.get(attempt) ?? 0);
      offsets.set(attempt, Number(offset) + data.byteLength);
    }
    return Buffer.concat(pieces.map(({ data }) => data)).toString();
  }

  /** By an event, or by the state that the watch began with when the event was faster than the watch. */
  hasReached(fraction: number): boolean {
    return this.events.some((event) => (event.case === "progress" && event.value.fraction === fraction) || (event.case === "request" && event.value.progress === fraction));
  }

  get progress(): [number, string][] {
    return this.events.flatMap((event) => (event.case === "progress" ? [[event.value.fraction, event.value.message] as [number, string]] : []));
  }
}

/** Whether a process still runs; a zombie that nobody has reaped yet does not. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== "linux" || !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

// Trains in three epochs; goes on with each when the test says so. The payload comes on stdin.
const TRAINER = `
const fs = require("node:fs");
const folder = process.argv[1];
const gate = (name) => new Promise((resolve) => { const timer = setInterval(() => { if (fs.existsSync(folder + "/" + name)) { clearInterval(timer); resolve(); } }, 5); });
(async () => {
  const config = JSON.parse(fs.readFileSync(0, "utf8"));
  for (let epoch = 1; epoch <= config.epochs; epoch += 1) {
    console.log("epoch " + epoch + " loss " + (1 / epoch).toFixed(3));
    console.log("::progress " + (epoch / config.epochs) + " epoch " + epoch + " of " + config.epochs);
    await gate("epoch-" + epoch);
  }
  fs.writeFileSync(process.env.GPU_ROUTER_RESULT_FILE, JSON.stringify({ gpu: process.env.CUDA_VISIBLE_DEVICES, request: process.env.GPU_ROUTER_REQUEST_ID, adapter: "x".repeat(100000) }));
})();
`;

// Saves how often it was stopped, and begins from there.
const SAVES = `
const fs = require("node:fs");
const saved = process.argv[1] + "/saved";
const from = fs.existsSync(saved) ? Number(fs.readFileSync(saved, "utf8")) : 0;
process.on("SIGTERM", () => { fs.writeFileSync(saved, String(from + 1)); process.exit(0); });
console.log("begun at " + from);
const timer = setInterval(() => { if (fs.existsSync(process.argv[1] + "/go")) clearInterval(timer); }, 5);
`;

// Says which GPUs it sees, when the test lets it.
const PAIR = `
const fs = require("node:fs");
const timer = setInterval(() => {
  if (!fs.existsSync(process.argv[1] + "/go")) return;
  clearInterval(timer);
  console.log(JSON.stringify({ visible: process.env.CUDA_VISIBLE_DEVICES }));
}, 5);
`;

// Starts a child of its own, tells both pids, and ignores a polite request to end.
const STUBBORN = `
const { spawn } = require("node:child_process");
const child = spawn(process.execPath, ["-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('ready')"], { stdio: ["ignore", "pipe", "inherit"] });
child.stdout.once("data", () => { console.log(JSON.stringify({ pids: [process.pid, child.pid] })); });
process.on("SIGTERM", () => {});
`;

describe("A command of the node's operator", () => {
  test("trains: payload in, lines and progress live and in order, a result file out", async () => {
    const folder = await temporaryFolder();
    const { client, grpcAddress, httpUrl } = await startRouter();
    const runners = { simulated: false, exec: [{ name: "train-lora", argv: [process.execPath, "-e", TRAINER, folder], types: ["training"] }] };
    const agent = await startAgent({ nodeId: "node-a", router: grpcAddress, gpus: 2, runners });
    const routed = await client.route({ requestId: "lora-1", modelId: "train-lora", type: "training", payload: { case: "payloadJson", value: { epochs: 3 } } });
    const watched = new Watched(client, "lora-1");
    for (const epoch of [1, 2, 3]) {
      // Seen while the command still runs: it waits for the gate.
      await eventually(`epoch ${epoch} is seen live`, () => watched.output.includes(`epoch ${epoch} loss`) && watched.hasReached(epoch / 3));
      expect((await client.status({ requestId: "lora-1" })).request).toMatchObject({ state: RequestState.PROCESSING, progress: epoch / 3 });
      writeFileSync(path.join(folder, `epoch-${epoch}`), "");
    }
    const end = await watched.ended;
    expect(end).toMatchObject({ state: RequestState.COMPLETED, attempts: 1, progress: 1 });
    expect(watched.output).toBe("epoch 1 loss 1.000\nepoch 2 loss 0.500\nepoch 3 loss 0.333\n");
    expect(watched.progress.at(-1)).toEqual([1, "epoch 3 of 3"]);
    // Too large to travel inline, so by reference.
    expect(end.result.byteLength).toBe(0);
    expect(end.resultSize).toBeGreaterThan(100_000n);
    expect(end.resultUrl).toBe(`${httpUrl}/api/v1/requests/lora-1/result`);
    const result = (await (await fetch(end.resultUrl)).json()) as { gpu: string; request: string; adapter: string };
    expect(result).toMatchObject({ request: "lora-1", gpu: routed.assignedGpu });
    expect(result.adapter).toHaveLength(100_000);
    expect(attemptEnds([agent])).toMatchObject([{ request: "lora-1", attempt: 1, outcome: "succeeded", gpu: routed.assignedGpu }]);
  });

  test("runs on two GPUs at once, sees both, has them to itself and frees both", async () => {
    const folder = await temporaryFolder();
    const { client, grpcAddress } = await startRouter();
    const runners = { exec: [{ name: "train-pair", argv: [process.execPath, "-e", PAIR, folder] }] };
    await startAgent({ nodeId: "node-a", router: grpcAddress, gpus: 2, speed: 1000, runners });
    const all = (await client.gpuStatus({})).gpus.map(({ gpuId }) => gpuId);
    const routed = await client.route({ requestId: "pair", modelId: "train-pair", type: "training", gpus: 2 });
    expect([...routed.assignedGpus].sort()).toEqual([...all].sort());
    await eventually("it runs", async () => (await client.status({ requestId: "pair" })).request?.startTime);
    expect((await client.gpuStatus({})).gpus.map(({ activeRequests, exclusive }) => [activeRequests, exclusive])).toEqual([[1, true], [1, true]]);

    // Nobody comes beside it, and nothing larger than the node is ever placed.
    const small = await client.route({ requestId: "small", modelId: "other" });
    const large = await client.route({ requestId: "large", modelId: "train-pair", type: "training", gpus: 3 });
    expect([small.assignedGpus, large.assignedGpus]).toEqual([[], []]);
    expect(large.message).toContain("No connected GPU can take it");
    const explained = await client.explain({ target: { case: "requestId", value: "small" } });
    expect(explained.decision?.filters).toMatchObject([{ filter: "exclusive", removed: 2, needed: "a GPU that no other request has to itself" }]);

    writeFileSync(path.join(folder, "go"), "");
    const end = await eventually("it ends", async () => {
      const { request } = await client.status({ requestId: "pair" });
      return request?.state === RequestState.COMPLETED && request;
    });
    expect(end).toMatchObject({ gpus: 2, attempts: 1, assignedGpu: routed.assignedGpu, assignedGpus: routed.assignedGpus });
    expect(JSON.parse(Buffer.from(end.result).toString())).toEqual({ visible: routed.assignedGpus.join(",") });
    await eventually("what waited is served", async () => (await client.status({ requestId: "small" })).request?.state === RequestState.COMPLETED);
    expect((await client.gpuStatus({})).gpus.map(({ activeRequests, exclusive }) => [activeRequests, exclusive])).toEqual([[0, false], [0, false]]);
  });

  test("is stopped for more urgent work, saves what it has done, and goes on from there", async () => {
    const folder = await temporaryFolder();
    const { client, grpcAddress } = await startRouter({ config: { load_balancer: { preemption: { min_run: 0, patience: 0 } } } });
    const runners = { simulated: false, exec: ["saves", "quick"].map((name) => ({ name, argv: [process.execPath, "-e", name === "saves" ? SAVES : "", folder], types: ["training"] })) };
    const agent = await startAgent({ nodeId: "node-a", router: grpcAddress, gpus: 1, runners });
    await client.route({ requestId: "long", modelId: "saves", type: "training", priority: 1, preemptible: true, checkpoint: true });
    const watched = new Watched(client, "long");
    await eventually("it has begun", () => watched.output.includes("begun at 0"));
    await client.route({ requestId: "urgent", modelId: "quick", type: "training", priority: 3 });
    await eventually("the urgent one is served", async () => (await client.status({ requestId: "urgent" })).request?.state === RequestState.COMPLETED);
    await eventually("the other goes on", () => watched.output.includes("begun at 1"));
    writeFileSync(path.join(folder, "go"), "");
    expect(await watched.ended).toMatchObject({ state: RequestState.COMPLETED, attempts: 2 });
    expect(attemptEnds([agent]).map(({ request, attempt, outcome }) => [request, attempt, outcome])).toEqual([["long", 1, "cancelled"], ["urgent", 1, "succeeded"], ["long", 2, "succeeded"]]);
  });

  test("is killed with everything it started when its request is cancelled", async () => {
    const { client, grpcAddress } = await startRouter();
    const runners = { simulated: false, exec: [{ name: "stubborn", argv: [process.execPath, "-e", STUBBORN], types: ["training"], kill_grace_s: 0.2 }] };
    await startAgent({ nodeId: "node-a", router: grpcAddress, gpus: 1, runners });
    const { requestId } = await client.route({ modelId: "stubborn", type: "training" });
    const watched = new Watched(client, requestId);
    const line = await eventually("its pids", () => /\{.*\}/.exec(watched.output)?.[0]);
    const { pids } = JSON.parse(line) as { pids: number[] };
    afterThisTest(() => {
      for (const pid of pids) if (runs(pid)) process.kill(pid, "SIGKILL");
    });
    expect(pids.map(runs)).toEqual([true, true]);
    await client.cancel({ requestId, reason: "enough" });
    expect(await watched.ended).toMatchObject({ state: RequestState.CANCELLED, attempts: 1 });
    expect(pids.map(runs)).toEqual([false, false]);
    expect((await client.gpuStatus({})).gpus.map(({ activeRequests }) => activeRequests)).toEqual([0]);
  });

  test("that fails says why, and is not run again", async () => {
    const { client, grpcAddress } = await startRouter();
    const runners = { simulated: false, exec: [{ name: "broken", argv: [process.execPath, "-e", "console.error('no such dataset'); process.exit(7)"] }] };
    const agent = await startAgent({ nodeId: "node-a", router: grpcAddress, gpus: 1, runners });
    const { requestId } = await client.route({ modelId: "broken", type: "training" });
    const end = await new Watched(client, requestId).ended;
    expect(end).toMatchObject({ state: RequestState.FAILED, attempts: 1, error: { code: "exit_code", exitCode: 7, message: expect.stringContaining("no such dataset") } });
    expect(attemptEnds([agent])).toHaveLength(1);
  });
});

describe("An OpenAI-compatible server", () => {
  test("streams a completion through router and agent, word by word, with its own count of tokens, and tells how busy it is", async () => {
    const words = ["The ", "sky ", "is ", "blue, ", "because ", "…"];
    let stream: ServerResponse | null = null;
    let asked: Record<string, unknown> = {};
    const server = createServer((request, response) => {
      if (request.url === "/v1/models") {
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ object: "list", data: [{ id: "llama-3-8b", object: "model" }] }));
        return;
      }
      if (request.url === "/metrics") {
        const labels = '{engine="0",model_name="llama-3-8b"}';
        const running = stream !== null && !stream.writableEnded ? 1 : 0;
        response.end(`vllm:num_requests_running${labels} ${running}.0\nvllm:num_requests_waiting${labels} 2.0\nvllm:kv_cache_usage_perc${labels} 0.25\n`);
        return;
      }
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        asked = { url: request.url, ...(JSON.parse(Buffer.concat(parts).toString()) as object) };
        stream = response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
        response.flushHeaders();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    afterThisTest(() => {
      server.closeAllConnections();
      server.close();
    });
    const chunk = (choices: object[], more: object = {}): string => `data: ${JSON.stringify({ id: "cmpl-1", object: "chat.completion.chunk", model: "llama-3-8b", choices, ...more })}\n\n`;

    const { client, grpcAddress } = await startRouter();
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    await startAgent({ nodeId: "node-a", router: grpcAddress, gpus: 1, runners: { simulated: false, openai: [{ name: "vllm-0", base_url: baseUrl, discovery_interval_s: 0.1 }] } });
    await eventually("the model is discovered", async () => (await client.gpuStatus({})).gpus[0]?.models.includes("llama-3-8b"));

    const { requestId } = await client.route({
      modelId: "llama-3-8b",
      payload: { case: "payloadJson", value: { messages: [{ role: "user", content: "Why is the sky blue?" }], temperature: 0 } },
    });
    const watched = new Watched(client, requestId);
    const open = await eventually("the server is asked", () => stream);
    expect(asked).toMatchObject({ url: "/v1/chat/completions", model: "llama-3-8b", stream: true, temperature: 0, messages: [{ role: "user", content: "Why is the sky blue?" }] });
    for (const [index, content] of words.entries()) {
      open.write(chunk([{ index: 0, delta: { content }, finish_reason: null }]));
      // Each word is seen before the next one is made.
      await eventually(`word ${index + 1} is seen live`, () => watched.output === words.slice(0, index + 1).join(""));
    }
    const engine = async () => (await client.gpuStatus({})).gpus[0]?.engineLoads.find(({ running }) => running === 1);
    expect(await eventually("the engine's own count is shown", engine)).toMatchObject({ runner: "vllm-0", running: 1, waiting: 2, kvUse: 0.25 });
    open.write(chunk([{ index: 0, delta: {}, finish_reason: "stop" }]));
    open.write(chunk([], { usage: { prompt_tokens: 12, completion_tokens: 6, total_tokens: 18 } }));
    open.end("data: [DONE]\n\n");

    const end = await watched.ended;
    expect(end).toMatchObject({ state: RequestState.COMPLETED, attempts: 1, resultContentType: "application/json", statistics: { inputTokens: 12, outputTokens: 6 } });
    expect(end.statistics!.firstOutputMs).toBeGreaterThan(0);
    expect(Buffer.from(end.result).toString()).toContain(words.join(""));
  });

  test("is hung up on when the request is cancelled", async () => {
    let closed = false;
    const server = createServer((request, response) => {
      if (request.url === "/v1/models") {
        response.end(JSON.stringify({ data: [{ id: "m" }] }));
        return;
      }
      if (request.url !== "/v1/completions") {
        response.writeHead(404).end();
        return;
      }
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: "Once upon" } }] })}\n\n`);
      response.on("close", () => {
        closed = true;
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    afterThisTest(() => {
      server.closeAllConnections();
      server.close();
    });
    const { client, grpcAddress } = await startRouter();
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    await startAgent({ nodeId: "node-a", router: grpcAddress, gpus: 1, runners: { simulated: false, openai: [{ name: "vllm-0", base_url: baseUrl }] } });
    const { requestId } = await client.route({ modelId: "m", payload: { case: "payloadJson", value: { prompt: "Tell me a story." } } });
    const watched = new Watched(client, requestId);
    await eventually("the story begins", () => watched.output === "Once upon");
    await client.cancel({ requestId });
    expect(await watched.ended).toMatchObject({ state: RequestState.CANCELLED });
    await eventually("the server is rid of it", () => closed);
  });
});
