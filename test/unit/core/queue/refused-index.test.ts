// What a pass after a release looks at: the classes that the GPU may serve. Counted, and held against a dispatcher that looks at all of them.
import { describe, expect, test } from "@jest/globals";
import type { Record } from "../../../../src/core/records.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { modelId, runner, wishes, World } from "../build.js";

const MODELS = 100;
const TYPES = ["inference", "training", "batch", "audio"];
const STEPS = 25;

/** One GPU per model; every class of waiting requests is different: model, type, memory. All GPUs are full. */
function crowd(): World {
  const world = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 1, strategy: "least_outstanding", exclusiveTypes: [] });
  // Of 10,000 requests after each of 10,000 steps.
  world.engine.state.check = () => undefined;
  for (let model = 0; model < MODELS; model += 1) {
    world.connect(`n${model}`, [`g${model}`], { runners: [runner({ models: [modelId(`m${model}`)] })] });
    world.submit(`first-${model}`, { model: `m${model}` });
  }
  for (let model = 0; model < MODELS; model += 1) {
    for (const type of TYPES) for (let step = 0; step < STEPS; step += 1) world.submit(`r-${model}-${type}-${step}`, { model: `m${model}`, type, requirements: { memoryMib: 512 * (step + 1) } });
  }
  return world;
}

test("10,000 classes that wait: a release looks at those of the GPU's model, and serves the first of them", () => {
  const world = crowd();
  const { queue } = world.engine.state;
  expect([queue.size, queue.standings.refused.size]).toEqual([10_000, 10_000]);
  const looked: number[] = [];
  const line = queue.line.bind(queue);
  queue.line = (freed, nowMs) => {
    const places = line(freed, nowMs);
    looked.push(places.size);
    return places;
  };
  world.end("first-7");
  expect(world.request("r-7-inference-0").gpuId).toBe("g7");
  expect(Math.max(...looked)).toBe(TYPES.length * STEPS);
  expect(line("all", world.nowMs).size).toBe(9_999);
});

describe("the index", () => {
  const refusedFor = (world: World, gpu: number): string[] => {
    const { queue, fleet } = world.engine.state;
    return [...queue.standings.refusedFor([{ gpuId: fleet.inventory[gpu]!.gpuId, runners: fleet.nodeOf[gpu]!.runners }])].map(({ head }) => head.spec.requestId).sort();
  };

  /** g0 serves a for inference and anything for audio, g1 serves b; all are full. */
  function three(): World {
    const world = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 1, exclusiveTypes: [] });
    world.connect("n0", ["g0"], { runners: [runner({ name: "a", models: [modelId("a")], types: ["inference"] }), runner({ name: "any", models: ["*"], types: ["audio"] })] });
    world.connect("n1", ["g1"], { runners: [runner({ models: [modelId("b")] })] });
    for (const [id, model] of [["busy-0", "a"], ["busy-1", "b"]] as const) world.submit(id, { model });
    return world;
  }

  test("finds classes by model and type, and those of any model where a runner serves all", () => {
    const world = three();
    world.submit("a", { model: "a" });
    world.submit("b", { model: "b" });
    world.submit("b-audio", { model: "b", type: "audio" });
    expect([refusedFor(world, 0), refusedFor(world, 1)]).toEqual([["a", "b-audio"], ["b", "b-audio"]]);
  });

  test("finds those that want a GPU by its name, and forgets what has left the line", () => {
    const world = three();
    world.submit("pinned", { model: "a", gpu: "g0" });
    expect([refusedFor(world, 0), refusedFor(world, 1)]).toEqual([["pinned"], []]);
    world.cancel("pinned");
    expect(refusedFor(world, 0)).toEqual([]);
    expect(world.engine.state.queue.standings.refused.size).toBe(0);
  });

  test("leaves nobody out whom the clock may help, nor work on several GPUs", () => {
    const world = three();
    world.connect("n2", ["g2", "g3"], { runners: [runner({ models: [modelId("team")] })] });
    for (const id of ["busy-2", "busy-3"]) world.submit(id, { model: "team" });
    world.submit("promised", { model: "a", wishes: wishes({ totalMs: 1e9 }) });
    world.submit("gang", { model: "team", wishes: wishes({ gpus: 2 }) });
    expect(refusedFor(world, 1)).toEqual(["gang", "promised"]);
  });
});

/** A life of a fleet: what `seed` says happens, one thing after another. Its placements, and everything else that became a fact. */
function life(seed: number, lookAtAll: boolean): readonly Record[] {
  const random = seededRandom(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const world = new World({ requestTimeoutMs: 0, maxConcurrentTasksPerGpu: 2, maxWaitMs: 20_000, strategy: pick(["hybrid", "weighted", "least_loaded"]), retryDelayMs: 50 });
  const { queue } = world.engine.state;
  if (lookAtAll) queue.standings.refusedFor = () => queue.standings.refused;
  for (let node = 0; node < 5; node += 1) {
    const models = pick([[modelId("m0")], [modelId("m1"), modelId("m2")], ["*" as const], [modelId("m3")]]);
    world.connect(`n${node}`, [`g${node}a`, `g${node}b`], { runners: [runner({ models, types: pick([[], [], ["inference"], ["inference", "audio"]]) })] });
  }
  const live = (phase: string): string[] => [...world.engine.state.requests.values()].filter((request) => request.phase === phase).map(({ spec }) => spec.requestId);
  for (let step = 0; step < 400; step += 1) {
    const chance = random();
    if (chance < 0.55) {
      const wanted = wishes({ gpus: random() < 0.1 ? 2 : 1, totalMs: random() < 0.15 ? 5_000 + random() * 20_000 : 0 });
      world.submit(`r${step}`, {
        model: pick(["m0", "m1", "m2", "m3"]),
        type: pick(["inference", "inference", "audio", "training"]),
        priority: pick([1, 3, 3, 5] as const),
        userId: pick(["u1", "u2", "u3"]) as never,
        requirements: { memoryMib: pick([0, 600, 20_000]), expectedDurationMs: pick([500, 5_000]) },
        ...(random() < 0.1 && wanted.gpus === 1 && { gpu: `g${Math.floor(random() * 5)}a` }),
        ...((wanted.gpus > 1 || wanted.totalMs > 0) && { wishes: wanted }),
      });
    } else if (chance < 0.85) {
      const id = live("placed")[0];
      if (id !== undefined) world.end(id, random() < 0.1 ? "unavailable" : "succeeded");
    } else if (chance < 0.9) {
      const id = live("queued").at(-1);
      if (id !== undefined) world.cancel(id);
    } else world.pass(50 + random() * 1_000);
  }
  return world.records;
}

test("decisions are those of a dispatcher that looks at every class, in 40 lives", () => {
  let placed = 0;
  for (let seed = 1; seed <= 40; seed += 1) {
    const facts = life(seed, false);
    placed += facts.filter(({ kind }) => kind === "placed").length;
    expect([seed, facts]).toEqual([seed, life(seed, true)]);
  }
  expect(placed).toBeGreaterThan(2_000);
});
