import { describe, expect, test } from "@jest/globals";
import { EngineLoads } from "../../../src/agent/engine-loads.js";
import type { EngineLoad } from "../../../src/agent/runners/runner.js";
import { fakeRunner } from "./fake-runner.js";

/** A runner whose engine answers when the test says so. */
function slowRunner(name: string) {
  const waiting: ((load: EngineLoad | null) => void)[] = [];
  const runner = fakeRunner(name, { engineLoad: () => new Promise((resolve) => waiting.push(resolve)) });
  return {
    runner,
    get asked() {
      return waiting.length;
    },
    async answer(load: EngineLoad | null) {
      waiting.at(-1)?.(load);
      await Promise.resolve();
      await Promise.resolve();
    },
  };
}

const said = (loads: EngineLoads): [string, number][] => loads.take().map(({ runner, running }) => [runner, running]);

describe("The loads of engines", () => {
  test("come as each engine answers: none waits for another, and one that has not answered is not asked again", async () => {
    const [fast, slow] = [slowRunner("fast"), slowRunner("slow")];
    let news = 0;
    const loads = new EngineLoads([fast.runner, slow.runner, fakeRunner("without an engine")], () => (news += 1));
    loads.ask();
    expect(loads.waiting).toBe(false);
    await fast.answer({ running: 1, waiting: 0 });
    expect([news, loads.waiting]).toEqual([1, true]);
    expect(said(loads)).toEqual([["fast", 1]]);
    expect(loads.waiting).toBe(false);
    loads.ask();
    expect([fast.asked, slow.asked]).toEqual([2, 1]);
    await slow.answer({ running: 2, waiting: 0 });
    expect(said(loads)).toEqual([["slow", 2]]);
  });

  test("are told once, the newest only, and as old as they then are", async () => {
    const engine = slowRunner("engine");
    const loads = new EngineLoads([engine.runner], () => {});
    loads.ask();
    await engine.answer({ running: 1, waiting: 0 });
    loads.ask();
    const askedAtMs = performance.now();
    await engine.answer({ running: 2, waiting: 3, kvUse: 0.25 });
    while (performance.now() - askedAtMs < 20) await new Promise((resolve) => setImmediate(resolve));
    const [told, ...more] = loads.take();
    expect(more).toEqual([]);
    expect(told).toMatchObject({ runner: "engine", running: 2, waiting: 3, kvUse: 0.25 });
    expect(told?.prefixHitRatio).toBeUndefined();
    expect(told?.ageMs).toBeGreaterThanOrEqual(20);
  });

  test("that an engine does not tell are not made up, and what is old when a stream begins is forgotten", async () => {
    const engine = slowRunner("engine");
    let news = 0;
    const loads = new EngineLoads([engine.runner], () => (news += 1));
    loads.ask();
    await engine.answer(null);
    expect([news, loads.waiting]).toEqual([0, false]);
    loads.ask();
    await engine.answer({ running: 1, waiting: 0 });
    loads.clear();
    expect(loads.take()).toEqual([]);
  });
});
