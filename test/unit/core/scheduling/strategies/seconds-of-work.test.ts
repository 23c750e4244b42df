import { expect, test } from "@jest/globals";
import { inventory, requestId, World } from "../../build.js";
import { A100, Dispatcher, T4 } from "../dispatcher.js";

function give(dispatcher: Dispatcher, gpu: number, id: string, inputTokens: number, outputTokens: number): void {
  dispatcher.fleet.work.place(gpu, { requestId: requestId(id), modelId: "m", inputTokens, cachedTokens: 0, outputTokens, firstDueAtMs: Number.POSITIVE_INFINITY, dueAtMs: Number.POSITIVE_INFINITY }, dispatcher.nowMs);
  dispatcher.fleet.place(gpu, 0);
}

test("one long prompt weighs more than many short ones", () => {
  const dispatcher = new Dispatcher("seconds_of_work", ["one-long", "five-short"]);
  give(dispatcher, 0, "long", 30_000, 500);
  for (let turn = 0; turn < 5; turn += 1) give(dispatcher, 1, `short-${turn}`, 500, 100);
  expect(dispatcher.choose()).toBe("five-short");
});

test("the same tokens are less work for a faster GPU", () => {
  const dispatcher = new Dispatcher("seconds_of_work", [inventory("fast", { name: A100 }), inventory("slow", { name: T4 })]);
  give(dispatcher, 0, "on-fast", 4_000, 500);
  give(dispatcher, 1, "on-slow", 4_000, 500);
  expect(dispatcher.choose()).toBe("fast");
  give(dispatcher, 0, "more", 30_000, 500);
  expect(dispatcher.choose()).toBe("slow");
});

test("a cache that is nearly full costs more than the work that fills it", () => {
  const dispatcher = new Dispatcher("seconds_of_work", ["small-cache", "large-cache"]);
  dispatcher.fleet.work.kvCapacityTokens[0] = 10_000;
  dispatcher.fleet.work.kvCapacityTokens[1] = 100_000;
  give(dispatcher, 0, "a", 9_000, 500);
  give(dispatcher, 1, "b", 11_000, 500);
  expect(dispatcher.choose()).toBe("large-cache");
  expect(dispatcher.explain().candidates.map(({ values }) => values.length)).toEqual([2, 2]);
});

test("what has ended is no work any more", () => {
  const dispatcher = new Dispatcher("seconds_of_work", ["a", "b"]);
  give(dispatcher, 0, "on-a", 8_000, 500);
  give(dispatcher, 1, "on-b", 4_000, 500);
  expect(dispatcher.choose()).toBe("b");
  dispatcher.fleet.work.release(0, requestId("on-a"), dispatcher.nowMs, null);
  dispatcher.fleet.release(0, 0, false);
  expect(dispatcher.choose()).toBe("a");
});

test("the engine counts the tokens of what it places, as requested or as learned, until they end", () => {
  const world = new World({ strategy: "seconds_of_work" });
  world.connect("node", ["a", "b"]);
  world.submit("long", { requirements: { inputTokens: 30_000, outputTokens: 500 } });
  const { gpuId: busy } = world.request("long");
  for (let turn = 0; turn < 5; turn += 1) {
    world.submit(`short-${turn}`, { requirements: { inputTokens: 500, outputTokens: 100 } });
    expect(world.request(`short-${turn}`).gpuId).not.toBe(busy);
  }
  world.start("long");
  world.end("long");
  world.submit("next", { requirements: { inputTokens: 500, outputTokens: 100 } });
  expect(world.request("next").gpuId).toBe(busy);
});
