// The openai runner against a real HTTP server that behaves like vLLM, Ollama and their bad days.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { OpenAiRunner, type OpenAiRunnerOptions } from "../../../../src/agent/runners/openai.js";
import type { JobOutcome } from "../../../../src/agent/runners/runner.js";
import { aJob, json, RecordingSink } from "./fixtures.js";
import { eventually } from "../../eventually.js";

type Handler = (body: Record<string, unknown>, response: ServerResponse, request: IncomingMessage) => void;

const CHAT = aJob({ payload: json({ messages: [{ role: "user", content: "hi" }], temperature: 0.5 }) });
const LIMITS = { maxResultBytes: 1 << 20 };
const never = new AbortController().signal;

let server: Server;
let models: { status: number; body: string };
let onCompletion: Handler;
let requests: { url: string; body: Record<string, unknown>; authorization: string | undefined }[];
let runner: OpenAiRunner | null;

beforeEach(async () => {
  models = { status: 200, body: JSON.stringify({ object: "list", data: [{ id: "m" }] }) };
  requests = [];
  runner = null;
  onCompletion = (_, response) => response.writeHead(500).end();
  server = createServer((request, response) => {
    if (request.method === "GET" && request.url === "/v1/models") return void response.writeHead(models.status).end(models.body);
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const body = JSON.parse(Buffer.concat(parts).toString("utf8")) as Record<string, unknown>;
      requests.push({ url: request.url ?? "", body, authorization: request.headers.authorization });
      onCompletion(body, response, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  await runner?.close();
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

function start(options: Partial<OpenAiRunnerOptions> = {}): OpenAiRunner {
  const { port } = server.address() as AddressInfo;
  runner = new OpenAiRunner({
    name: "vllm",
    baseUrl: `http://127.0.0.1:${port}/v1`,
    apiKey: "",
    gpuIds: ["GPU-1"],
    types: [],
    discoveryIntervalMs: 20,
    inactivityTimeoutMs: 20_000,
    loads: null,
    onTrouble: () => {},
    ...options,
  });
  return runner;
}

function sse(response: ServerResponse): ServerResponse {
  return response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
}

function delta(content: string, finish: string | null = null): string {
  return `data: ${JSON.stringify({ model: "m-served", choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`;
}

const USAGE = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } })}\n\n`;

function resultOf(outcome: JobOutcome): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(outcome.result)) as Record<string, unknown>;
}

describe("discovery", () => {
  test("follows the server's list, tells only of changes, and a server that goes away serves nothing", async () => {
    const troubles: string[] = [];
    const served = start({ onTrouble: (trouble) => troubles.push(trouble) });
    const seen: (readonly string[])[] = [];
    served.onChange(() => seen.push(served.describe().models));
    expect(served.describe()).toEqual({ models: [], types: [], gpuIds: ["GPU-1"] });
    await eventually(() => seen.length === 1, "the first list");
    models.body = JSON.stringify({ data: [{ id: "b" }, { id: "a" }, { id: "b" }, {}, 5] });
    await eventually(() => seen.length === 2, "the second list");
    models = { status: 503, body: "loading" };
    await eventually(() => seen.length === 3, "the empty list");
    models = { status: 200, body: "<html>" };
    await eventually(() => troubles.length === 2, "another trouble");
    models = { status: 200, body: '{"data": null}' };
    await eventually(() => troubles.length === 3, "no trouble");
    expect(seen).toEqual([["m"], ["a", "b"], []]);
    expect(troubles).toEqual([expect.stringContaining("status 503"), expect.stringContaining("not {"), ""]);
  });

  test("a listener that left is not called again", async () => {
    const served = start();
    let calls = 0;
    const leave = served.onChange(() => (calls += 1));
    await eventually(() => calls === 1, "the first list");
    leave();
    models.body = '{"data": []}';
    await eventually(() => served.describe().models.length === 0, "the empty list");
    expect(calls).toBe(1);
  });

  test("a call that finds the server down makes its models go at once, not at the next turn", async () => {
    const served = start({ discoveryIntervalMs: 3_600_000 });
    await eventually(() => served.describe().models.length === 1, "the list");
    models.status = 500;
    expect((await served.run(CHAT, new RecordingSink(), LIMITS, never)).outcome).toBe("unavailable");
    await eventually(() => served.describe().models.length === 0, "the empty list");
  });
});

describe("a completion", () => {
  test("streams its text, and its result has text, reason, usage and model", async () => {
    onCompletion = (_, response) => void sse(response).end(`: hello\r\n\r\n${delta("Grüße")}${delta(", Welt")}${delta("", "stop")}${USAGE}data: [DONE]\n\n`);
    const sink = new RecordingSink();
    const outcome = await start({ apiKey: "sk-secret" }).run(CHAT, sink, LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "succeeded", contentType: "application/json" });
    expect(resultOf(outcome)).toEqual({ text: "Grüße, Welt", finish_reason: "stop", usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }, model: "m-served" });
    expect(outcome.statistics).toMatchObject({ inputTokens: 7, outputTokens: 3, peakMemoryMib: 0 });
    expect(outcome.statistics.firstOutputMs).toBeGreaterThan(0);
    expect(outcome.statistics.runMs).toBeGreaterThanOrEqual(outcome.statistics.firstOutputMs);
    expect(sink.starts).toBe(1);
    expect(sink.outputs.map((piece) => Buffer.from(piece).toString())).toEqual(["Grüße", ", Welt"]);
    expect(requests).toEqual([
      {
        url: "/v1/chat/completions",
        authorization: "Bearer sk-secret",
        body: { messages: [{ role: "user", content: "hi" }], temperature: 0.5, model: "m", stream: true, stream_options: { include_usage: true } },
      },
    ]);
  });

  test("survives any chunk boundary", async () => {
    onCompletion = (_, response) => {
      sse(response);
      const bytes = Buffer.from(`${delta("ä🙂b")}${delta("c", "stop")}${USAGE}data: [DONE]\n\n`);
      let at = 0;
      const next = (): void => {
        if (at === bytes.length) return void response.end();
        response.write(bytes.subarray(at, (at += 1)), () => setImmediate(next));
      };
      next();
    };
    const outcome = await start().run(CHAT, new RecordingSink(), LIMITS, never);
    expect(resultOf(outcome)).toMatchObject({ text: "ä🙂bc", finish_reason: "stop" });
  });

  test("of a prompt goes to /completions", async () => {
    onCompletion = (_, response) => void sse(response).end('data: {"choices":[{"index":0,"text":"x","finish_reason":"length"}]}\n\ndata: [DONE]\n\n');
    const outcome = await start().run(aJob({ payload: json({ prompt: "p" }) }), new RecordingSink(), LIMITS, never);
    expect(requests[0]?.url).toBe("/v1/completions");
    expect(resultOf(outcome)).toMatchObject({ text: "x", finish_reason: "length" });
  });

  test("counts as whole when the server leaves out [DONE], but not when it leaves out the reason too", async () => {
    onCompletion = (_, response) => void sse(response).end(delta("a") + delta("b", "stop"));
    expect(resultOf(await start().run(CHAT, new RecordingSink(), LIMITS, never))).toMatchObject({ text: "ab" });
    onCompletion = (_, response) => void sse(response).end(delta("a") + delta("b", "stop").trimEnd());
    expect(await runner?.run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "succeeded" });
    onCompletion = (_, response) => void sse(response).end(delta("a"));
    expect(await runner?.run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "stream_cut" });
  });

  test("may come as one JSON answer although a stream was asked for", async () => {
    const answer = { model: "m", choices: [{ index: 0, message: { role: "assistant", content: "whole" }, finish_reason: "stop" }], usage: { prompt_tokens: 1, completion_tokens: 2 } };
    onCompletion = (_, response) => void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    const sink = new RecordingSink();
    const outcome = await start().run(CHAT, sink, LIMITS, never);
    expect(resultOf(outcome)).toMatchObject({ text: "whole", finish_reason: "stop" });
    expect(sink.text).toBe("whole");
    // Nothing was streamed, so nobody knows when the first token was there.
    expect(outcome.statistics).toMatchObject({ firstOutputMs: 0, inputTokens: 1, outputTokens: 2 });
  });

  test.each([
    ["text", { content: "x" }],
    ["reasoning", { reasoning_content: "hm" }],
    ["a tool call", { tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: "" } }] }],
  ])("has its first output with the first token, be it %s, and not with the role that comes before", async (_, first) => {
    const chunk = (part: object): string => `data: ${JSON.stringify({ choices: [{ index: 0, delta: part, finish_reason: null }] })}\n\n`;
    const pauseMs = 60;
    let restAtMs = 0;
    onCompletion = (__, response) => {
      // What is written reaches the client when the event loop polls: after timers, before immediates.
      const rest = (): void => {
        restAtMs = performance.now();
        response.end(`${delta("y", "stop")}${USAGE}data: [DONE]\n\n`);
      };
      sse(response).write(chunk({ role: "assistant", content: "" }));
      setTimeout(() => response.write(chunk(first), () => setTimeout(() => setImmediate(() => setImmediate(rest)), pauseMs)), pauseMs);
    };
    const served = start();
    const beganAtMs = performance.now();
    const { statistics } = await served.run(CHAT, new RecordingSink(), LIMITS, never);
    expect(statistics.firstOutputMs).toBeGreaterThan(pauseMs - 5);
    expect(beganAtMs + statistics.firstOutputMs).toBeLessThan(restAtMs);
    expect(statistics.outputTokens).toBe(3);
  });

  test("larger than the limit fails, and the server is told to stop", async () => {
    let closed = false;
    onCompletion = (_, response) => {
      sse(response);
      response.on("close", () => (closed = true));
      const next = (): void => void (closed || response.write(delta("x".repeat(1000)), () => setImmediate(next)));
      next();
    };
    const outcome = await start().run(CHAT, new RecordingSink(), { maxResultBytes: 100_000 }, never);
    expect(outcome).toMatchObject({ outcome: "failed", code: "result_too_large" });
    await eventually(() => closed, "the end of the connection");
  });

  test("whose JSON is larger than the limit only through escapes fails too", async () => {
    onCompletion = (_, response) => void sse(response).end(delta("\u0001".repeat(200), "stop"));
    expect(await start().run(CHAT, new RecordingSink(), { maxResultBytes: 1000 }, never)).toMatchObject({ outcome: "failed", code: "result_too_large" });
  });

  test("in one huge delta reaches the sink in pieces of at most 64 KiB", async () => {
    onCompletion = (_, response) => void sse(response).end(delta("y".repeat(200_000), "stop"));
    const sink = new RecordingSink();
    await start().run(CHAT, sink, LIMITS, never);
    expect(sink.outputs.map(({ length }) => length)).toEqual([65_536, 65_536, 65_536, 3392]);
  });
});

describe("a fault", () => {
  test("a payload that is no OpenAI request fails without asking the server", async () => {
    const outcome = await start().run(aJob({ payload: json({ text: "x" }) }), new RecordingSink(), LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "failed", code: "bad_payload" });
    expect(requests).toEqual([]);
  });

  test.each([
    [400, "failed", "server_refused", "none"],
    [422, "failed", "server_refused", "none"],
    [401, "unavailable", "server_refused", "none"],
    [404, "unavailable", "server_refused", "none"],
    [429, "unavailable", "server_overloaded", "none"],
    [500, "unavailable", "server_error", undefined],
    [503, "unavailable", "server_error", undefined],
    [307, "unavailable", "server_error", undefined],
  ] as const)("status %i is %s, %s, and the GPU to blame: %s", async (status, outcome, code, fault) => {
    onCompletion = (_, response) => void response.writeHead(status, { location: "/elsewhere" }).end('{"error":{"message":"because of sk-secret"}}');
    const sink = new RecordingSink();
    const ended = await start({ apiKey: "sk-secret" }).run(CHAT, sink, LIMITS, never);
    expect(ended).toMatchObject({ outcome, code, message: expect.stringContaining(String(status)) });
    expect("fault" in ended ? ended.fault : undefined).toBe(fault);
    expect(JSON.stringify(ended)).not.toContain("sk-secret");
    expect(sink.starts).toBe(0);
    expect(requests.length).toBe(1);
  });

  test("a server whose words blame the GPU is believed; one that refuses the request may say what it likes", async () => {
    const words = '{"error":{"message":"CUDA error: uncorrectable ECC error encountered"}}';
    onCompletion = (_, response) => void response.writeHead(500).end(words);
    expect(await start().run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "gpu_fault", fault: "gpu" });
    await runner?.close();
    onCompletion = (_, response) => void response.writeHead(400).end(words);
    expect(await start().run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "failed", code: "server_refused", fault: "none" });
  });

  test("the server's words are passed on, but not without bound", async () => {
    onCompletion = (_, response) => void response.writeHead(400).end(JSON.stringify({ object: "error", message: `too long: ${"x".repeat(50_000)}` }));
    const outcome = await start().run(CHAT, new RecordingSink(), LIMITS, never);
    if (outcome.outcome === "succeeded") throw new Error("succeeded");
    expect(outcome.message).toContain("too long: xxx");
    expect(outcome.message.length).toBeLessThan(2200);
  });

  test("a server that is not there is unreachable", async () => {
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, "127.0.0.1", resolve));
    const baseUrl = `http://127.0.0.1:${(gone.address() as AddressInfo).port}/v1`;
    await new Promise((resolve) => gone.close(resolve));
    const outcome = await start({ baseUrl }).run(CHAT, new RecordingSink(), LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "unavailable", code: "server_unreachable", message: expect.stringContaining(baseUrl) });
    expect(outcome).toMatchObject({ message: expect.stringContaining("ECONNREFUSED") });
  });

  test("a connection that is reset before an answer is unreachable", async () => {
    onCompletion = (_, __, request) => void request.socket.resetAndDestroy();
    expect(await start().run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "server_unreachable" });
  });

  test("a stream that is cut in the middle is unavailable, with what there was of it", async () => {
    const sink = new RecordingSink();
    onCompletion = (_, response, request) => {
      sse(response).write(delta("half"));
      void sink.until(() => sink.text === "half").then(() => request.socket.resetAndDestroy());
    };
    const outcome = await start().run(CHAT, sink, LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "unavailable", code: "stream_cut", contentType: "application/json" });
    expect(resultOf(outcome)).toMatchObject({ text: "half", finish_reason: null });
  });

  test("a stream that is cut after the reason has lost nothing but usage", async () => {
    const sink = new RecordingSink();
    onCompletion = (_, response, request) => {
      sse(response).write(delta("all", "stop"));
      void sink.until(() => sink.text === "all").then(() => request.socket.resetAndDestroy());
    };
    const outcome = await start().run(CHAT, sink, LIMITS, never);
    expect(outcome).toMatchObject({ outcome: "succeeded", statistics: { inputTokens: 0, outputTokens: 0 } });
    expect(resultOf(outcome)).toMatchObject({ text: "all", finish_reason: "stop" });
  });

  test.each([
    ["of the caller", { message: "bad token", code: 400 }, "failed", "server_refused"],
    ["of the engine", { message: "EngineDeadError" }, "unavailable", "server_error"],
  ])("an error %s inside the stream ends it", async (_, error, outcome, code) => {
    onCompletion = (__, response) => void sse(response).end(`${delta("a")}data: ${JSON.stringify({ error })}\n\ndata: [DONE]\n\n`);
    expect(await start().run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome, code, message: expect.stringContaining(error.message) });
  });

  test("an event that is not JSON, and one without end, are the server's fault", async () => {
    onCompletion = (_, response) => void sse(response).end("data: oops\n\n");
    expect(await start().run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "server_error", message: expect.stringContaining("oops") });
    onCompletion = (_, response) => void sse(response).write(`data: ${"x".repeat(1_200_000)}`);
    expect(await runner?.run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "server_error", message: expect.stringContaining("longer than") });
  });

  test.each([
    ["before its headers", (): void => {}],
    ["in the middle", (response: ServerResponse): void => void sse(response).write(delta("a"))],
  ])("a server that falls silent %s is given up", async (_, begin) => {
    onCompletion = (__, response) => begin(response);
    expect(await start({ inactivityTimeoutMs: 50 }).run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "server_silent" });
  });

  test("a slow stream is not silence", async () => {
    onCompletion = (_, response) => {
      sse(response);
      let sent = 0;
      const timer = setInterval(() => {
        sent += 1;
        response.write(": still here\n\n");
        if (sent === 30) {
          clearInterval(timer);
          response.end(delta("late", "stop"));
        }
      }, 20);
    };
    expect(await start({ inactivityTimeoutMs: 300 }).run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "succeeded" });
  });
});

describe("stopping", () => {
  test.each([
    ["before the headers", false],
    ["in the middle of a stream", true],
  ])("a cancel %s ends the call and the connection", async (_, streaming) => {
    let closed = false;
    let asked = (): void => {};
    const arrived = new Promise<void>((resolve) => (asked = resolve));
    onCompletion = (__, response) => {
      response.on("close", () => (closed = true));
      if (streaming) sse(response).write(delta("some"));
      asked();
    };
    const abort = new AbortController();
    const sink = new RecordingSink();
    const running = start().run(CHAT, sink, LIMITS, abort.signal);
    await arrived;
    if (streaming) await sink.until(() => sink.text === "some");
    abort.abort();
    const outcome = await running;
    expect(outcome).toMatchObject({ outcome: "cancelled", code: "cancelled" });
    if (streaming) expect(resultOf(outcome)).toMatchObject({ text: "some" });
    await eventually(() => closed, "the end of the connection");
  });

  test("a job that was cancelled before it began does not reach the server", async () => {
    expect(await start().run(CHAT, new RecordingSink(), LIMITS, AbortSignal.abort())).toMatchObject({ outcome: "cancelled" });
    expect(requests).toEqual([]);
  });

  test("close ends calls as unavailable, stops asking for models, and takes no more", async () => {
    const sink = new RecordingSink();
    onCompletion = (_, response) => void sse(response).write(delta("some"));
    const served = start();
    const running = served.run(CHAT, sink, LIMITS, never);
    await sink.until(() => sink.text === "some");
    await served.close();
    expect(await running).toMatchObject({ outcome: "unavailable", code: "runner_closed" });
    expect(await served.run(CHAT, new RecordingSink(), LIMITS, never)).toMatchObject({ outcome: "unavailable", code: "runner_closed" });
  });
});
