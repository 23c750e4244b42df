import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "@jest/globals";
import { NO_WISHES } from "../../../../../src/core/model/request.js";
import { nodeId, requestId, runner } from "../../build.js";
import { Dispatcher } from "../dispatcher.js";

const ROOM = { maxConcurrentTasksPerGpu: 256 };
const prompt = (...prefixHashes: number[]): { wishes: typeof NO_WISHES } => ({ wishes: { ...NO_WISHES, prefixHashes } });

describe("the prefix", () => {
  test("brings a conversation back to where its beginning was read", () => {
    const dispatcher = new Dispatcher("llm_d_like", ["a", "b", "c", "d"], ROOM);
    const first = dispatcher.place(prompt(1, 2, 3));
    expect(dispatcher.place(prompt(1, 2, 3, 4))).toBe(first);
    expect(dispatcher.place(prompt(1, 2, 3, 4, 5))).toBe(first);
  });

  test("of which only half is known does not make up for the longest queue", () => {
    const dispatcher = new Dispatcher("llm_d_like", ["a", "b"], ROOM);
    const first = dispatcher.place(prompt(1, 2, 3));
    expect(dispatcher.place(prompt(1, 2, 3, 4, 5, 6))).not.toBe(first);
  });

  test("does not outweigh a queue and a cache that are both the worst", () => {
    const dispatcher = new Dispatcher("llm_d_like", ["a", "b"], ROOM);
    dispatcher.fleet.prefixes.placed(0, "m", [1, 2, 3, 4]);
    for (let turn = 0; turn < 10; turn += 1) dispatcher.fleet.place(0, 0);
    expect(dispatcher.choose(prompt(1, 2, 3, 4))).toBe("a");
    dispatcher.fleet.setRunners(nodeId("node"), [runner()]);
    dispatcher.fleet.observeRunnerLoads(nodeId("node"), [], dispatcher.nowMs);
    dispatcher.fleet.work.kvCapacityTokens.fill(1_000);
    dispatcher.fleet.work.place(0, { requestId: requestId("r"), modelId: "m", inputTokens: 900, cachedTokens: 0, outputTokens: 90, firstDueAtMs: Number.POSITIVE_INFINITY, dueAtMs: Number.POSITIVE_INFINITY }, dispatcher.nowMs);
    dispatcher.fleet.refresh(0);
    expect(dispatcher.choose(prompt(1, 2, 3, 4))).toBe("b");
  });
});

test("without a prefix the shortest queue is taken", () => {
  expect(new Dispatcher("llm_d_like", ["a", "b", "c", "d"], ROOM).fill(20)).toEqual({ a: 5, b: 5, c: 5, d: 5 });
});

test("of equal queues the emptier cache is taken, be it by the ledger or by what the engine says", () => {
  const dispatcher = new Dispatcher("llm_d_like", ["a", "b"], ROOM);
  dispatcher.fleet.work.kvCapacityTokens.fill(10_000);
  dispatcher.fleet.work.place(0, { requestId: requestId("r"), modelId: "m", inputTokens: 4_000, cachedTokens: 0, outputTokens: 500, firstDueAtMs: Number.POSITIVE_INFINITY, dueAtMs: Number.POSITIVE_INFINITY }, dispatcher.nowMs);
  dispatcher.fleet.refresh(0);
  expect(dispatcher.choose()).toBe("b");
  const both = ["a", "b"].map((id) => runner({ name: id, gpuIds: [dispatcher.fleet.inventory[id === "a" ? 0 : 1]!.gpuId] }));
  dispatcher.fleet.setRunners(nodeId("node"), both);
  dispatcher.fleet.observeRunnerLoads(nodeId("node"), [{ runner: "b", running: 3, waiting: 0, kvUse: 0.9, ageMs: 0 }], dispatcher.nowMs);
  expect(dispatcher.choose()).toBe("a");
});

test("the values that Explain shows are those of its own candidates, 1 for the shortest queue and 0 for the longest", () => {
  const dispatcher = new Dispatcher("llm_d_like", ["a", "b", "c"], ROOM);
  for (const [gpu, requests] of [2, 3, 6].entries()) for (let turn = 0; turn < requests; turn += 1) dispatcher.fleet.place(gpu, 0);
  const { scorers, candidates } = dispatcher.explain();
  const place = scorers.findIndex(({ scorer }) => scorer === "queue");
  expect(Object.fromEntries(candidates.map(({ gpuId, values }) => [gpuId, values[place]]))).toEqual({ a: 1, b: 0.75, c: 0 });
});

const MOONCAKE = path.resolve("../shared/traces/mooncake-fast25/conversation_trace.jsonl.gz");
const required = process.env["GPU_ROUTER_REQUIRE_ALL"] === "1";
if (!existsSync(MOONCAKE) && !required) process.stderr.write("Skipped: prefix affinity on real conversations needs the traces in ../shared/traces\n");
const testWithTraces = existsSync(MOONCAKE) || required ? test : test.skip;

testWithTraces("real conversations that all share their first block (Mooncake) find their blocks again without piling up", () => {
  const prompts = gunzipSync(readFileSync(MOONCAKE)).toString().trim().split("\n").slice(0, 6_000).map((line) => (JSON.parse(line) as { hash_ids: number[] }).hash_ids);
  const serve = (strategy: string): { hits: number; imbalance: number } => {
    const dispatcher = new Dispatcher(strategy, Array.from({ length: 8 }, (_, index) => `g${index}`), ROOM);
    const read = new Map<string, Set<number>>();
    const served = new Map<string, number>();
    const running: string[] = [];
    let hits = 0;
    let blocks = 0;
    for (const hashes of prompts) {
      const gpu = dispatcher.place(prompt(...hashes)) ?? "";
      const cache = read.get(gpu) ?? new Set();
      read.set(gpu, cache);
      const missed = hashes.findIndex((block) => !cache.has(block));
      hits += missed < 0 ? hashes.length : missed;
      blocks += hashes.length;
      for (const block of hashes) cache.add(block);
      served.set(gpu, (served.get(gpu) ?? 0) + 1);
      running.push(gpu);
      if (running.length > 64) dispatcher.fleet.release(Number(running.shift()!.slice(1)), 0, false);
    }
    return { hits: hits / blocks, imbalance: Math.max(...served.values()) / (prompts.length / 8) };
  };
  const aware = serve("llm_d_like");
  const unaware = serve("random");
  expect(aware.hits).toBeGreaterThan(2 * unaware.hits);
  expect(aware.imbalance).toBeLessThan(1.3);
});
