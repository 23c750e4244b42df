// Engine metrics through the runner that owns them, against a real HTTP server that speaks like vLLM.
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { OpenAiRunner } from "../../../../../src/agent/runners/openai.js";
import { aJob, json, RecordingSink } from "../fixtures.js";
import { eventually } from "../../../eventually.js";

interface Engine {
  running: number;
  waiting: number;
  queries: number;
  hits: number;
  blocks: number;
}

let server: Server;
let engine: Engine;
let onMetrics: (response: ServerResponse) => void;
let asked: { url: string; authorization: string | undefined }[];
let runner: OpenAiRunner;

function page({ running, waiting, queries, hits, blocks }: Engine): string {
  const labels = '{engine="0",model_name="m"}';
  return [
    `vllm:num_requests_running${labels} ${running}.0`,
    `vllm:num_requests_waiting${labels} ${waiting}.0`,
    `vllm:kv_cache_usage_perc${labels} 0.5`,
    `vllm:prefix_cache_queries_total${labels} ${queries}.0`,
    `vllm:prefix_cache_hits_total${labels} ${hits}.0`,
    `vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="${blocks}"} 1.0`,
    "",
  ].join("\n");
}

beforeEach(async () => {
  engine = { running: 0, waiting: 2, queries: 100, hits: 25, blocks: 1000 };
  asked = [];
  onMetrics = (response) => void response.end(page(engine));
  server = createServer((request, response) => {
    if (request.url === "/v1/models") return void response.end('{"data":[{"id":"m"}]}');
    if (request.url === "/v1/chat/completions") {
      engine.running += 1;
      response.on("close", () => (engine.running -= 1));
      return void response.writeHead(200, { "content-type": "text/event-stream" }).write('data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n');
    }
    asked.push({ url: request.url ?? "", authorization: request.headers.authorization });
    onMetrics(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  runner = new OpenAiRunner({
    name: "vllm",
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    apiKey: "sk-secret",
    gpuIds: [],
    types: [],
    discoveryIntervalMs: 60_000,
    inactivityTimeoutMs: 20_000,
    loads: null,
    onTrouble: () => {},
  });
});

afterEach(async () => {
  await runner.close();
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

describe("An engine with a metrics page", () => {
  test("tells its load, work that runs included, from beside its API and with the server's key", async () => {
    const stop = new AbortController();
    const sink = new RecordingSink();
    const ended = runner.run(aJob({ payload: json({ messages: [] }) }), sink, { maxResultBytes: 1000 }, stop.signal);
    await sink.until(() => sink.text === "a");
    expect(await runner.engineLoad()).toEqual({ running: 1, waiting: 2, kvUse: 0.5, prefixHitRatio: 0.25 });
    expect(asked).toEqual([{ url: "/metrics", authorization: "Bearer sk-secret" }]);
    stop.abort();
    await ended;
    await eventually(() => engine.running === 0, "the end of the call at the server");
    expect(await runner.engineLoad()).toMatchObject({ running: 0 });
  });

  test("counts prefix hits between two questions, keeps the ratio while there is nothing new, and begins again after a restart", async () => {
    const ratio = async (queries: number, hits: number): Promise<number | undefined> => {
      Object.assign(engine, { queries, hits });
      return (await runner.engineLoad())?.prefixHitRatio;
    };
    expect(await ratio(0, 0)).toBeUndefined();
    expect(await ratio(100, 25)).toBe(0.25);
    expect(await ratio(200, 100)).toBe(0.75);
    expect(await ratio(200, 100)).toBe(0.75);
    expect(await ratio(10, 4)).toBe(0.4);
  });

  test("makes the size of its cache known once, and again when it is another", async () => {
    await eventually(() => runner.describe().models.length === 1, "the models");
    const sizes: (number | undefined)[] = [];
    runner.onChange(() => sizes.push(runner.describe().kvCapacityTokens));
    expect(runner.describe()).not.toHaveProperty("kvCapacityTokens");
    await runner.engineLoad();
    await runner.engineLoad();
    engine.blocks = 10;
    await runner.engineLoad();
    expect(sizes).toEqual([16_000, 160]);
  });

  test("that answers slowly is not asked twice at a time, and closing does not wait for it", async () => {
    onMetrics = () => {};
    const first = runner.engineLoad();
    expect(await runner.engineLoad()).toBeNull();
    await eventually(() => asked.length > 0, "the question");
    await runner.close();
    expect(await first).toBeNull();
    expect(await runner.engineLoad()).toBeNull();
    expect(asked).toHaveLength(1);
  });
});

describe("An engine without a page that is understood", () => {
  test.each<[string, (response: ServerResponse) => void]>([
    ["no page", (response) => response.writeHead(404).end("not found")],
    ["a page elsewhere", (response) => response.writeHead(302, { location: "/v1/models" }).end()],
    ["a page of somebody else", (response) => response.end("process_cpu_seconds_total 5\n")],
    ["a page above the bound", (response) => response.end(`${page(engine)}${"# padding\n".repeat(500_000)}`)],
    ["a cut connection", (response) => response.socket?.destroy()],
  ])("%s: it is left alone for a second, then asked again", async (_, answer) => {
    onMetrics = answer;
    expect(await runner.engineLoad()).toBeNull();
    const leftAt = performance.now();
    onMetrics = (response) => void response.end(page(engine));
    expect(await runner.engineLoad()).toBeNull();
    expect(asked).toHaveLength(1);
    await eventually(async () => (await runner.engineLoad()) !== null, "the next question");
    expect(performance.now() - leftAt).toBeGreaterThan(900);
    expect(asked).toHaveLength(2);
  });

  test("is left alone for twice as long each time", async () => {
    onMetrics = (response) => response.writeHead(404).end();
    const pauses: number[] = [];
    for (let last = performance.now(); pauses.length < 2; ) {
      const before = asked.length;
      await eventually(async () => (await runner.engineLoad(), asked.length > before), "the next question");
      if (before > 0) pauses.push(performance.now() - last);
      last = performance.now();
    }
    expect(pauses[0]).toBeGreaterThan(900);
    expect(pauses[1]).toBeGreaterThan(1_900);
  });
});
