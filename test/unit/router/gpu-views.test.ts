import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { GpuChanges } from "../../../src/api/router-port.js";
import { Engine } from "../../../src/core/engine.js";
import type { GpuId, NodeId } from "../../../src/core/model/ids.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { GpuViews } from "../../../src/router/gpu-views.js";
import { specOf } from "../journal/story.js";
import { nodeConnected, TestClock } from "./fakes.js";

const clock = new TestClock();
let engine: Engine;
let views: GpuViews;
let abort: AbortController;

beforeEach(() => {
  engine = new Engine(DEFAULT_CORE_SETTINGS);
  views = new GpuViews(engine, clock);
  abort = new AbortController();
  engine.step({ kind: "take_over", epoch: 4 }, clock.atMs);
  engine.step(nodeConnected("node-a", 2), clock.atMs);
  engine.step(nodeConnected("node-b", 2), clock.atMs);
});
afterEach(() => abort.abort());

const watch = (token = ""): AsyncIterator<GpuChanges> => views.watch(token, 1, abort.signal)[Symbol.asyncIterator]();
async function next(stream: AsyncIterator<GpuChanges>): Promise<GpuChanges> {
  const { value, done } = await stream.next();
  if (done === true) throw new Error("The stream ended.");
  return value as GpuChanges;
}
const ids = ({ gpus }: GpuChanges): string[] => gpus.map(({ inventory }) => inventory.gpuId);
const placeOn = (gpuId: string, requestId: string): void => void engine.step({ kind: "submit", spec: specOf(requestId, { specificGpuId: gpuId as GpuId }) }, clock.atMs);

describe("Watching", () => {
  test("begins with the whole fleet, then tells only what changed", async () => {
    const stream = watch();
    const first = await next(stream);
    expect(first).toMatchObject({ snapshot: true });
    expect(ids(first)).toEqual(["node-a-0", "node-a-1", "node-b-0", "node-b-1"]);
    placeOn("node-a-1", "r");
    const second = await next(stream);
    expect(second).toMatchObject({ snapshot: false, gpus: [{ activeRequests: 1 }] });
    expect(second.sequence).toBeGreaterThan(first.sequence);
    expect(ids(second)).toEqual(["node-a-1"]);
  });

  test("merges everything that happened since the reader last asked, however much", async () => {
    const stream = watch();
    const { sequence } = await next(stream);
    for (let index = 0; index < 5_000; index += 1) {
      engine.step({ kind: "telemetry", nodeId: "node-a" as NodeId, samples: [{ ageMs: 0, sample: telemetry("node-a-0", index) }] }, clock.atMs);
    }
    placeOn("node-b-1", "r");
    const merged = await next(stream);
    expect(ids(merged)).toEqual(["node-a-0", "node-b-1"]);
    expect(merged.gpus[0]?.telemetry?.memoryUsedMib).toBe(4_999);
    expect(merged.sequence).toBeGreaterThan(sequence + 5_000);
  });

  test("resumes behind the last message: what changed since, nothing else", async () => {
    const stream = watch();
    const { resumeToken } = await next(stream);
    placeOn("node-a-0", "r");
    const change = await next(stream);
    await stream.return?.();
    placeOn("node-b-0", "s");
    const resumed = await next(watch(change.resumeToken));
    expect(resumed).toMatchObject({ snapshot: false });
    expect(resumed.sequence).toBeGreaterThan(change.sequence);
    expect(ids(resumed)).toEqual(["node-b-0"]);
    // An older token gives both changes.
    expect(ids(await next(watch(resumeToken)))).toEqual(["node-a-0", "node-b-0"]);
    // With nothing new the reader still learns that it is up to date.
    expect(await next(watch(resumed.resumeToken))).toMatchObject({ snapshot: false, gpus: [] });
  });

  test("tells of GPUs that were forgotten, also to one that resumes, and not of one that came back since", async () => {
    const stream = watch();
    const first = await next(stream);
    engine.step({ kind: "node_disconnected", nodeId: "node-b" as NodeId }, clock.atMs);
    const { minutes, forgetMinutes } = { minutes: 60_000, forgetMinutes: DEFAULT_CORE_SETTINGS.forgetAfterMs / 60_000 };
    for (let minute = 0; minute < forgetMinutes + 2; minute += 1) {
      clock.atMs += minutes;
      engine.step({ kind: "tick" }, clock.atMs);
    }
    expect(views.all()).toHaveLength(2);
    expect(await next(stream)).toMatchObject({ snapshot: false, removed: ["node-b-0", "node-b-1"] });
    expect((await next(watch(first.resumeToken))).removed).toEqual(["node-b-0", "node-b-1"]);
    expect(await next(watch())).not.toHaveProperty("removed");
    engine.step(nodeConnected("node-b", 1), clock.atMs);
    const later = await next(watch(first.resumeToken));
    expect([later.removed, ids(later)]).toEqual([["node-b-1"], expect.arrayContaining(["node-b-0"])]);
  });

  test("begins anew with a token of another life, of the future or of nobody", async () => {
    const { resumeToken } = await next(watch());
    const sequence = Number(resumeToken.split(".")[1]);
    for (const token of ["3.1", `4.${sequence + 1_000}`, "4", "nonsense", "4.1.1"]) {
      const first = await next(watch(token));
      expect([token, first.snapshot, first.gpus.length]).toEqual([token, true, 4]);
    }
  });

  test("ends when its reader goes, without waiting for a change", async () => {
    const stream = watch();
    await next(stream);
    const pending = stream.next();
    abort.abort();
    expect(await pending).toEqual({ done: true, value: undefined });
  });
});

describe("A GPU", () => {
  test("is shown with its node's state, its telemetry's age and what runs on it", () => {
    engine.step({ kind: "telemetry", nodeId: "node-a" as NodeId, samples: [{ ageMs: 30, sample: telemetry("node-a-0", 1_000) }] }, clock.atMs);
    placeOn("node-a-0", "r");
    clock.atMs += 70;
    expect(views.all()[0]).toMatchObject({ index: 0, nodeId: "node-a", state: "active", stateReason: "", health: "healthy", telemetryAgeMs: 100, activeRequests: 1, memoryReservedMib: 100, models: ["*"] });
    expect(views.all()[1]).toMatchObject({ telemetry: null, telemetryAgeMs: -1, activeRequests: 0 });
  });

  test("is suspect when its node was just cut off, inactive when that stays away, and in error when it was lost, with the reason", () => {
    engine.step({ kind: "node_disconnected", nodeId: "node-b" as NodeId }, clock.atMs);
    expect(views.all().map(({ state }) => state)).toEqual(["active", "active", "suspect", "suspect"]);
    clock.atMs += DEFAULT_CORE_SETTINGS.reconnectGraceMs;
    engine.step({ kind: "tick" }, clock.atMs);
    engine.step({ kind: "gpu_lost", nodeId: "node-a" as NodeId, gpuId: "node-a-1" as GpuId, reason: "Xid 79" }, clock.atMs);
    expect(views.all().map(({ state, stateReason }) => [state, stateReason])).toEqual([
      ["active", ""],
      ["error", "Xid 79"],
      ["inactive", "its node is not connected"],
      ["inactive", "its node is not connected"],
    ]);
  });
});

describe("An engine", () => {
  const load = (runner: string, running: number, ageMs = 0) => ({ runner, running, waiting: 1, ageMs });
  const tell = (...loads: ReturnType<typeof load>[]): void => void engine.step({ kind: "runner_load", nodeId: "node-a" as NodeId, loads }, clock.atMs);
  const runner = (name: string, ...gpuIds: string[]) => ({ name, kind: "openai", models: ["*" as const], types: [], gpuIds: gpuIds as GpuId[] });
  const shown = (): unknown[][] => views.all().map(({ engineLoads }) => engineLoads.map((each) => [each.runner, each.running, each.ageMs]));

  beforeEach(() => void engine.step({ kind: "runners_changed", nodeId: "node-a" as NodeId, runners: [runner("all"), runner("one", "node-a-1")] }, clock.atMs));

  test("is shown with the GPUs of its runner, with its last word and how old that is", () => {
    tell(load("all", 5, 30), load("one", 7));
    clock.atMs += 100;
    tell(load("one", 8));
    expect(shown()).toEqual([[["all", 5, 130]], [["all", 5, 130], ["one", 8, 0]], [], []]);
  });

  test("that tells something new changes its GPUs and no others", async () => {
    const stream = watch();
    await next(stream);
    tell(load("one", 1));
    expect(ids(await next(stream))).toEqual(["node-a-1"]);
  });

  test("is forgotten with its runner or its node, and never known without", () => {
    tell(load("all", 1), load("one", 2), load("unknown", 3));
    engine.step({ kind: "runner_load", nodeId: "nowhere" as NodeId, loads: [load("all", 4)] }, clock.atMs);
    engine.step({ kind: "runners_changed", nodeId: "node-a" as NodeId, runners: [runner("all"), runner("unknown")] }, clock.atMs);
    expect(shown()).toEqual([[["all", 1, 0]], [["all", 1, 0]], [], []]);
    engine.step({ kind: "node_disconnected", nodeId: "node-a" as NodeId }, clock.atMs);
    expect(shown()).toEqual([[], [], [], []]);
  });
});

function telemetry(gpuId: string, memoryUsedMib: number) {
  return {
    gpuId: gpuId as GpuId,
    memoryUsedMib,
    memoryFreeMib: 80_000 - memoryUsedMib,
    gpuUtilizationPercent: 10,
    memoryUtilizationPercent: 5,
    temperatureCelsius: 50,
    powerUsageWatts: 300,
    powerLimitWatts: 700,
    uptimeSeconds: 5,
    clockEventReasons: 0,
    eccUncorrected: 0,
  };
}
