// The openai runner against an HTTP server that loads and unloads models as Ollama's API says, and fails to.
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { OpenAiRunner } from "../../../../../src/agent/runners/openai.js";
import { eventually } from "../../../eventually.js";
import { aJob, json, RecordingSink } from "../fixtures.js";

const LIMITS = { maxResultBytes: 1 << 20 };
const never = new AbortController().signal;
const GIB = 2 ** 30;

let server: Server;
let onDisk: Record<string, number>;
let inMemory: Set<string>;
/** By path: what is answered in place of a list. */
let broken: Map<string, { status: number; body: string }>;
let ordered: Record<string, unknown>[];
/** Answers an order; by default it is carried out. */
let onOrder: (order: { model: string; keep_alive: number }, response: ServerResponse) => void;
let completions: ServerResponse[];
let troubles: string[];
let runner: OpenAiRunner;

const obey = ({ model, keep_alive: keepAlive }: { model: string; keep_alive: number }, response: ServerResponse): void => {
  if (keepAlive === 0) inMemory.delete(model);
  else inMemory.add(model);
  response.end(JSON.stringify({ model, done: true, done_reason: keepAlive === 0 ? "unload" : "load" }));
};

beforeEach(async () => {
  onDisk = { "llama3.2:latest": 2 * GIB, "gemma3:27b": 17 * GIB };
  inMemory = new Set(["llama3.2:latest"]);
  broken = new Map();
  ordered = [];
  onOrder = obey;
  completions = [];
  troubles = [];
  const listOf = (names: Iterable<string>): string => JSON.stringify({ models: [...names].map((name) => ({ name, model: name, size: onDisk[name] ?? 0, size_vram: onDisk[name] ?? 0 })) });
  server = createServer((request, response) => {
    const { url = "" } = request;
    const trouble = broken.get(url);
    if (trouble) return void response.writeHead(trouble.status).end(trouble.body);
    if (url === "/api/tags") return void response.end(listOf(Object.keys(onDisk)));
    if (url === "/api/ps") return void response.end(listOf(inMemory));
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const body = JSON.parse(Buffer.concat(parts).toString("utf8")) as { model: string; keep_alive: number };
      if (url === "/v1/chat/completions") return void completions.push(response);
      ordered.push(body);
      onOrder(body, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  runner = new OpenAiRunner({
    name: "ollama",
    baseUrl: `http://127.0.0.1:${port}/v1`,
    apiKey: "",
    gpuIds: ["GPU-1"],
    types: [],
    discoveryIntervalMs: 20,
    inactivityTimeoutMs: 20_000,
    loads: "ollama",
    onTrouble: (trouble) => troubles.push(trouble),
  });
});

afterEach(async () => {
  await runner.close();
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

const serves = (...models: string[]) => eventually(() => runner.describe().models.join() === models.join(), `it serves ${models.join(" and ") || "nothing"}`);
const loadable = (): string[] => (runner.describe().loadable ?? []).map(({ modelId }) => modelId);
const run = (modelId: string) => runner.run(aJob({ modelId, payload: json({ messages: [{ role: "user", content: "hi" }] }) }), new RecordingSink(), LIMITS, never);
const answer = (response: ServerResponse | undefined) => response?.end(JSON.stringify({ choices: [{ index: 0, message: { content: "ok" }, finish_reason: "stop" }] }));

describe("An Ollama server whose models are ours to load", () => {
  test("serves what is in memory, and can load what is on its disk", async () => {
    await serves("llama3.2:latest");
    expect(runner.describe()).toEqual({
      models: ["llama3.2:latest"],
      types: [],
      gpuIds: ["GPU-1"],
      loadable: [
        { modelId: "llama3.2:latest", memoryMib: 2 * 1024, loadMs: expect.any(Number) },
        { modelId: "gemma3:27b", memoryMib: 17 * 1024, loadMs: expect.any(Number) },
      ],
    });
    // Sent on, it would be loaded in place of what the router wants there.
    expect(await run("gemma3:27b")).toMatchObject({ outcome: "unavailable", code: "model_not_loaded", fault: "none" });
    expect(completions).toEqual([]);
  });

  test("loads a model so that it stays, and knows then how long that takes", async () => {
    await serves("llama3.2:latest");
    const changed: (readonly string[])[] = [];
    runner.onChange(() => changed.push(runner.describe().models));
    const assumedMs = runner.describe().loadable?.[1]?.loadMs ?? 0;
    expect(assumedMs).toBeGreaterThan(17 * 1024);
    runner.order?.({ modelId: "gemma3:27b", action: "load" });
    await serves("gemma3:27b", "llama3.2:latest");
    expect(ordered).toEqual([{ model: "gemma3:27b", keep_alive: -1, stream: false }]);
    expect(runner.describe().loadable?.[1]?.loadMs).toBeLessThan(assumedMs / 2);
    expect(changed.at(-1)).toEqual(["gemma3:27b", "llama3.2:latest"]);
    const work = run("gemma3:27b");
    await eventually(() => completions.length === 1, "the request is there");
    answer(completions[0]);
    expect(await work).toMatchObject({ outcome: "succeeded" });
    expect(troubles).toEqual([]);
  });

  test("lets running work end before a model goes, takes no more meanwhile, and loads the next one after that", async () => {
    await serves("llama3.2:latest");
    const work = run("llama3.2:latest");
    await eventually(() => completions.length === 1, "the request is there");
    runner.order?.({ modelId: "llama3.2:latest", action: "unload" });
    runner.order?.({ modelId: "gemma3:27b", action: "load" });
    expect(runner.describe().models).toEqual([]);
    expect(await run("llama3.2:latest")).toMatchObject({ code: "model_not_loaded" });
    expect(ordered).toEqual([]);
    answer(completions[0]);
    expect(await work).toMatchObject({ outcome: "succeeded" });
    await serves("gemma3:27b");
    expect(ordered.map(({ model, keep_alive: keepAlive }) => [model, keepAlive])).toEqual([["llama3.2:latest", 0], ["gemma3:27b", -1]]);
    expect(loadable()).toContain("llama3.2:latest");
  });

  test("keeps a model that is wanted again before it went", async () => {
    await serves("llama3.2:latest");
    const work = run("llama3.2:latest");
    await eventually(() => completions.length === 1, "the request is there");
    runner.order?.({ modelId: "llama3.2:latest", action: "unload" });
    runner.order?.({ modelId: "llama3.2:latest", action: "load" });
    expect(runner.describe().models).toEqual(["llama3.2:latest"]);
    await eventually(() => ordered.length === 1, "the order");
    expect(ordered[0]).toMatchObject({ keep_alive: -1 });
    answer(completions[0]);
    await work;
  });

  test("says why a load failed, and does not offer that model for a while; the next load that works ends the trouble", async () => {
    onOrder = ({ model }, response) => void response.writeHead(500).end(JSON.stringify({ error: `model ${model} requires more system memory` }));
    await serves("llama3.2:latest");
    runner.order?.({ modelId: "gemma3:27b", action: "load" });
    await eventually(() => troubles.length === 1, "the trouble");
    expect(troubles[0]).toMatch(/loading gemma3:27b with POST http.*\/api\/generate: status 500: .*requires more system memory/);
    expect(loadable()).toEqual(["llama3.2:latest"]);
    expect(runner.describe().models).toEqual(["llama3.2:latest"]);
    onOrder = obey;
    runner.order?.({ modelId: "llama3.2:latest", action: "load" });
    await eventually(() => troubles.length === 2, "the end of the trouble");
    expect(troubles[1]).toBe("");
  });

  test("serves on what could not be unloaded", async () => {
    onOrder = (_, response) => void response.destroy();
    await serves("llama3.2:latest");
    runner.order?.({ modelId: "llama3.2:latest", action: "unload" });
    expect(runner.describe().models).toEqual([]);
    await serves("llama3.2:latest");
    expect(troubles).toEqual([expect.stringContaining("unloading llama3.2:latest")]);
  });

  test("follows what others load and unload, and has nothing while it is down or no Ollama server", async () => {
    await serves("llama3.2:latest");
    inMemory = new Set(["gemma3:27b"]);
    await serves("gemma3:27b");
    broken.set("/api/ps", { status: 404, body: "not found" });
    await serves();
    expect(loadable()).toEqual([]);
    broken = new Map([["/api/tags", { status: 200, body: "<html>" }]]);
    await eventually(() => troubles.length === 2, "another trouble");
    expect(troubles).toEqual([expect.stringMatching(/api\/ps: status 404; is it an Ollama server/), expect.stringMatching(/api\/tags: the answer is not/)]);
    broken.clear();
    await serves("gemma3:27b");
  });

  test("is left at once by an agent that stops while a model loads", async () => {
    onOrder = () => {};
    await serves("llama3.2:latest");
    runner.order?.({ modelId: "gemma3:27b", action: "load" });
    await eventually(() => ordered.length === 1, "the order");
    await runner.close();
    expect(troubles).toEqual([]);
  });
});
