// Sessions through the engine: the next turn goes where the context lies, while that pays and it does lie there.
import { describe, expect, test } from "@jest/globals";
import type { UserId } from "../../../../../src/core/model/ids.js";
import type { RequestSpec } from "../../../../../src/core/model/request.js";
import { gpuId, inventory, modelId, nodeId, runner, wishes, World } from "../../build.js";
import { DEFAULT_CORE_SETTINGS } from "../../../../../src/core/settings.js";

const A100 = "NVIDIA A100-SXM4-80GB";
const GPUS = ["g0", "g1", "g2", "g3"];
const runners = (models: readonly string[] = ["m", "other"]) => GPUS.map((id) => runner({ name: `runner-${id}`, gpuIds: [gpuId(id)], models: models.map(modelId) }));

function world(affinity = true): World {
  const one = new World({ strategy: "hybrid", maxConcurrentTasksPerGpu: 64, requestTimeoutMs: 0, telemetryIntervalMs: 1_000_000, gpuCooldownMs: 10, hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, affinity } });
  one.connect("node", GPUS.map((id) => inventory(id, { name: A100 })), { runners: runners() });
  return one;
}

let turns = 0;

interface Turn {
  readonly user?: string;
  readonly model?: string;
  readonly input?: number;
  readonly output?: number;
  readonly prefixHashes?: readonly number[];
}

/** A turn of a session, where it goes. */
function turn(one: World, sessionKey: string, { user = "ann", model = "m", input = 3_000, output = 100, prefixHashes = [] }: Turn = {}): { readonly id: string; readonly gpu: string; readonly spec: RequestSpec } {
  turns += 1;
  const id = `turn-${turns}`;
  one.submit(id, { userId: user as UserId, model, wishes: wishes({ sessionKey, prefixHashes }), requirements: { inputTokens: input, outputTokens: output } });
  const { gpuId: gpu, spec } = one.request(id);
  return { id, gpu, spec };
}

function finish(one: World, id: string): void {
  const { inputTokens, outputTokens } = one.request(id).spec.requirements;
  one.end(id, "succeeded", { statistics: { runMs: 2_000, firstOutputMs: 300, inputTokens, outputTokens, peakMemoryMib: 0 } });
}

/** The GPU of the turn after `before`, which has ended. */
function next(one: World, before: { readonly id: string }, sessionKey: string, over: Turn = {}): string {
  finish(one, before.id);
  one.nowMs += 5_000;
  const after = turn(one, sessionKey, { input: 3_200, ...over });
  finish(one, after.id);
  return after.gpu;
}

/** What a dry run of another turn would save on its GPU, seconds that affinity is worth there; 0 for none. */
function worth(one: World, sessionKey: string, over: { readonly user?: string; readonly prefixHashes?: readonly number[] } = {}): number {
  const { user = "ann", prefixHashes = [] } = over;
  const spec = { ...one.request(turn(one, "", { input: 3_200 }).id).spec, userId: user as UserId, wishes: wishes({ sessionKey, prefixHashes }) };
  const { scorers, candidates } = one.engine.explain(spec, one.nowMs);
  return candidates[0]?.values[scorers.findIndex(({ scorer }) => scorer === "affinity_seconds")] ?? Number.NaN;
}

describe("the next turn of a session", () => {
  test("goes where the last one ran, which Explain shows in seconds", () => {
    for (let round = 0; round < 8; round += 1) {
      const one = world();
      const first = turn(one, "chat");
      expect(next(one, first, "chat")).toBe(first.gpu);
      const { decision } = one.records.filter((record) => record.kind === "placed")[1]!;
      const place = decision.scorers.findIndex(({ scorer }) => scorer === "affinity_seconds");
      expect(decision.candidates[0]!.values[place]).toBeGreaterThan(0.5);
      expect(decision.candidates.slice(1).every(({ values }) => values[place] === 0)).toBe(true);
    }
  });

  test("of another user with the same key, or another model, is another session", () => {
    const one = world();
    const first = turn(one, "chat");
    finish(one, first.id);
    expect(worth(one, "chat")).toBeGreaterThan(0.5);
    expect(worth(one, "chat", { user: "bob" })).toBe(0);
    expect(worth(one, "chat 2")).toBe(0);
  });

  test("is worth the longer of what its session and its prefix tell, not both", () => {
    const one = world();
    const hashes = [1, 2, 3, 4];
    const first = turn(one, "chat", { prefixHashes: hashes });
    finish(one, first.id);
    const both = worth(one, "chat", { prefixHashes: hashes });
    const prefix = worth(one, "", { prefixHashes: hashes });
    // The session knows of 3,100 tokens, the prefix of 4 blocks of 512.
    expect(both / prefix).toBeCloseTo(3_100 / 2_048, 6);
  });

  test("goes elsewhere when the wait costs more than the reuse", () => {
    const one = world();
    const first = turn(one, "chat");
    finish(one, first.id);
    for (let other = 0; other < 12; other += 1) one.submit(`crowd-${other}`, { gpu: first.gpu, requirements: { inputTokens: 12_000, outputTokens: 400 } });
    expect(turn(one, "chat").gpu).not.toBe(first.gpu);
  });

  test("goes anywhere where affinity is off", () => {
    const gpus = new Set<string>();
    for (let round = 0; round < 12; round += 1) {
      const one = world(false);
      const first = turn(one, "chat");
      gpus.add(`${next(one, first, "chat") === first.gpu}`);
    }
    expect(gpus).toEqual(new Set(["true", "false"]));
  });
});

describe("a session's context is gone", () => {
  test.each<[string, (one: World, gpu: string) => void]>([
    ["with its GPU", (one, gpu) => void one.step({ kind: "gpu_lost", nodeId: nodeId("node"), gpuId: gpuId(gpu), reason: "fell off the bus" })],
    ["with the agent's process", (one) => {
      one.disconnect("node");
      one.step({ kind: "node_connected", nodeId: nodeId("node"), instanceId: "another", gpus: GPUS.map((id) => inventory(id, { name: A100 })), runners: runners(), held: [] });
    }],
    ["when its model is unloaded, though it comes back", (one) => {
      one.step({ kind: "runners_changed", nodeId: nodeId("node"), runners: runners(["other"]) });
      one.step({ kind: "runners_changed", nodeId: nodeId("node"), runners: runners() });
    }],
    ["half an hour later", (one) => void one.pass(1_800_001)],
  ])("%s", (_, happens) => {
    const one = world();
    const first = turn(one, "chat");
    finish(one, first.id);
    expect(worth(one, "chat")).toBeGreaterThan(0);
    const { spec } = first;
    happens(one, first.gpu);
    expect(one.engine.state.fleet.sessions.contextOf(spec, one.nowMs)).toBeNull();
    expect(worth(one, "chat")).toBe(0);
  });

  test("but not when another model is unloaded, or the stream was only cut", () => {
    const one = world();
    const first = turn(one, "chat");
    finish(one, first.id);
    one.step({ kind: "runners_changed", nodeId: nodeId("node"), runners: runners(["m"]) });
    one.disconnect("node");
    one.connect("node", GPUS.map((id) => inventory(id, { name: A100 })), { runners: runners(["m"]) });
    expect(worth(one, "chat")).toBeGreaterThan(0);
  });
});

test("one key for everybody's work does not crowd one GPU", () => {
  const one = world();
  const count = new Map<string, number>();
  for (let request = 0; request < 40; request += 1) {
    const { gpu } = turn(one, "the same for all", { input: 1_000, output: 300 });
    count.set(gpu, (count.get(gpu) ?? 0) + 1);
  }
  expect(count.size).toBeGreaterThanOrEqual(3);
  expect(Math.max(...count.values())).toBeLessThanOrEqual(20);
});
