import { describe, expect, test } from "@jest/globals";
import { OutcomeColumns } from "../../../../src/core/fleet/outcome-columns.js";
import { inventory, nodeId, World } from "../build.js";
import { NO_WISHES } from "../../../../src/core/model/request.js";

const TAU = 10_000;

function columnsOf(...names: readonly string[]): OutcomeColumns {
  const columns = new OutcomeColumns();
  names.forEach((name, gpu) => columns.register(gpu, name));
  return columns;
}

function latencyMs(columns: OutcomeColumns, nowMs: number, gpu = 0): number {
  return columns.scaledLatency[gpu]! * columns.latencyFactor(nowMs);
}

describe("latency", () => {
  test("rises at once, falls by its share of the time since, and decays while nothing ends", () => {
    const columns = columnsOf("");
    columns.ended(0, 400, false, 50_000);
    expect(latencyMs(columns, 50_000)).toBeCloseTo(400, 9);
    columns.ended(0, 1_000, false, 51_000);
    expect(latencyMs(columns, 51_000)).toBeCloseTo(1_000, 9);
    columns.ended(0, 200, false, 56_000);
    const left = Math.exp(-5_000 / TAU);
    expect(latencyMs(columns, 56_000)).toBeCloseTo(1_000 * left + 200 * (1 - left), 9);
    expect(latencyMs(columns, 56_000 + TAU)).toBeCloseTo((1_000 * left + 200 * (1 - left)) / Math.E, 9);
  });

  test("is the same wherever the clock starts, and after it was scaled anew", () => {
    const story = (columns: OutcomeColumns, fromMs: number): number => {
      columns.ended(0, 700, false, fromMs);
      columns.ended(1, 300, false, fromMs + 400);
      columns.ended(0, 500, false, fromMs + 800);
      return latencyMs(columns, fromMs + 1_000);
    };
    const early = story(columnsOf("", ""), 0);
    expect(story(columnsOf("", ""), 1.8e12)).toBeCloseTo(early, 6);
    const old = columnsOf("", "");
    old.ended(1, 300, false, 1.8e12 - 301 * TAU);
    expect(story(old, 1.8e12 - 500)).toBeCloseTo(early, 6);
  });

  test("that is hours old counts as unknown", () => {
    const columns = columnsOf("", "");
    columns.ended(0, 700, false, 1.8e12);
    columns.ended(1, 700, false, 1.8e12 + 10_000_000);
    expect([latencyMs(columns, 1.8e12 + 10_000_000), latencyMs(columns, 1.8e12 + 10_000_000, 1)]).toEqual([0, 700]);
  });

  test("does not grow when the clock steps back", () => {
    const columns = columnsOf("");
    columns.ended(0, 700, false, 100_000);
    columns.ended(0, 300, false, 90_000);
    expect(latencyMs(columns, 90_000)).toBeCloseTo(700, 6);
  });
});

test("columns follow a fleet that grows", () => {
  const columns = columnsOf(...Array.from({ length: 64 }, () => "Tesla T4"));
  columns.place(3);
  columns.ended(3, 100, false, 5);
  columns.register(64, "NVIDIA H100 80GB HBM3");
  columns.place(64);
  expect([columns.lastPlacedSequence[3], columns.lastPlacedSequence[64]]).toEqual([1, 2]);
  expect(latencyMs(columns, 5, 3)).toBeCloseTo(100, 9);
  expect(columns.fastest).toBe(columns.relativeSpeed[64]);
  expect(columns.relativeSpeed[3]).toBeLessThan(1);
});

describe("in the engine", () => {
  test("a success counts with its time since placement, a failure with five seconds at least, other ends not at all", () => {
    const world = new World();
    world.connect("node", [inventory("g")]);
    const { outcomes } = world.engine.state.fleet;
    const known = (): number => Math.round(latencyMs(outcomes, world.nowMs));
    world.submit("cancelled");
    world.cancel("cancelled");
    world.end("cancelled", "cancelled");
    world.submit("wrong");
    world.end("wrong", "failed");
    expect(known()).toBe(0);
    world.submit("good");
    world.start("good");
    world.pass(300);
    world.end("good");
    expect(known()).toBe(300);
    world.submit("refused", { requirements: { expectedDurationMs: 10 } });
    world.end("refused", "unavailable");
    expect(known()).toBe(5_000);
  });

  test("a lost GPU fails what it had", () => {
    const world = new World();
    world.connect("node", [inventory("g")]);
    world.submit("r");
    world.step({ kind: "gpu_lost", nodeId: nodeId("node"), gpuId: inventory("g").gpuId, reason: "Xid 79" });
    expect(latencyMs(world.engine.state.fleet.outcomes, world.nowMs)).toBeCloseTo(5_000, 6);
  });

  test("placements are numbered and their prompts remembered", () => {
    const world = new World();
    world.connect("node", [inventory("g"), inventory("h")]);
    world.submit("r", { wishes: { ...NO_WISHES, prefixHashes: [11, 12] } });
    const { fleet } = world.engine.state;
    const gpu = fleet.indexOf(inventory(world.request("r").gpuId).gpuId);
    expect(fleet.outcomes.lastPlacedSequence[gpu]).toBe(1);
    expect(fleet.prefixes.lengths("m", [11, 12, 13])[gpu]).toBe(2);
  });
});
