// The filters that keep promises, each over a fleet of GPUs in different states: who passes, and whom they are asked of.
import { describe, expect, test } from "@jest/globals";
import type { Fleet } from "../../../../src/core/fleet/fleet.js";
import type { Work } from "../../../../src/core/fleet/work.js";
import type { Ask, RequestFilter } from "../../../../src/core/scheduling/contract.js";
import { batchShare } from "../../../../src/core/scheduling/filters/batch-share.js";
import { fixedSlots } from "../../../../src/core/scheduling/filters/fixed-slots.js";
import { kvRoom } from "../../../../src/core/scheduling/filters/kv-room.js";
import { othersPromises } from "../../../../src/core/scheduling/filters/others-promises.js";
import { modelRoom } from "../../../../src/core/scheduling/filters/model-room.js";
import { ownPromise } from "../../../../src/core/scheduling/filters/own-promise.js";
import type { Wishes } from "../../../../src/core/model/request.js";
import { Prediction } from "../../../../src/core/scheduling/prediction.js";
import { DEFAULT_CORE_SETTINGS } from "../../../../src/core/settings.js";
import { ask, fleetOf, inventory, requestId, settings, wishes } from "../build.js";

const NOW = 1_000_000;
const A100 = "NVIDIA A100-SXM4-80GB";
const T4 = "Tesla T4";
const hybridWith = (over: Partial<typeof DEFAULT_CORE_SETTINGS.hybrid>) => settings({ hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, ...over } });

function fleet(...names: string[]): Fleet {
  return fleetOf(names.map((name, index) => inventory(`g${index}`, { name })));
}

function put(on: Fleet, gpu: number, id: string, over: Partial<Work> = {}): void {
  on.place(gpu, 0);
  on.work.place(gpu, { requestId: requestId(id), modelId: "m", inputTokens: 100, cachedTokens: 0, outputTokens: 100, firstDueAtMs: Number.POSITIVE_INFINITY, dueAtMs: Number.POSITIVE_INFINITY, ...over }, NOW);
}

function kept(filter: RequestFilter, on: Fleet, wanted: Ask): number[] {
  const candidates = Int32Array.from(on.inventory, (_, gpu) => gpu);
  const passed = [...candidates.subarray(0, filter.keep(on, wanted, candidates, candidates.length))];
  // Who is refused is short of something, and Explain says by how much; but of the others' promises it knows only the tightest.
  for (const gpu of on.inventory.keys()) if (!passed.includes(gpu) && filter.name !== "others_promises") expect(filter.shortfall?.by(on, wanted, gpu) ?? 1).toBeGreaterThan(0);
  return passed;
}

/** A request with tokens and a time. */
const inTime = (totalMs: number, tokens: readonly [number, number] = [100, 100], firstOutputMs = 0): Ask => ask({ nowMs: NOW, tokens, wishes: wishes({ totalMs, firstOutputMs }) });

describe("own_promise", () => {
  const filter = (): RequestFilter => ownPromise(new Prediction(false));

  test("keeps the GPUs that are fast enough for the answer", () => {
    const both = fleet(A100, T4);
    expect(kept(filter(), both, inTime(60_000))).toEqual([0, 1]);
    expect(kept(filter(), both, inTime(2_000))).toEqual([0]);
    expect(kept(filter(), both, inTime(500))).toEqual([]);
  });

  test("keeps out of a queue of prompts what must begin soon", () => {
    const both = fleet(A100, A100);
    put(both, 0, "long", { inputTokens: 30_000 });
    expect(kept(filter(), both, inTime(0, [100, 100], 1_000))).toEqual([1]);
    expect(kept(filter(), both, inTime(0, [100, 100], 20_000))).toEqual([0, 1]);
  });

  test("counts the time that was spent waiting", () => {
    const one = fleet(A100);
    const wanted = { ...inTime(3_000), acceptedAtMs: NOW - 2_500 };
    expect([kept(filter(), one, inTime(3_000)), kept(filter(), one, wanted)]).toEqual([[0], []]);
  });

  test("goes by what runs there: every request makes the steps longer", () => {
    const one = fleet(A100);
    const wanted = inTime(1_600);
    expect(kept(filter(), one, wanted)).toEqual([0]);
    for (let index = 0; index < 120; index += 1) put(one, 0, `r${index}`, { inputTokens: 1 });
    expect(kept(filter(), one, { ...wanted })).toEqual([]);
  });

  test("is asked of what has a wish and tokens, and is not late", () => {
    const one = filter();
    expect(one.applies(inTime(1_000))).toBe(true);
    expect(one.applies({ ...inTime(1_000), late: true })).toBe(false);
    expect(one.applies(ask({ tokens: [1, 1] }))).toBe(false);
    expect(one.applies(ask({ wishes: wishes({ totalMs: 1_000 }) }))).toBe(false);
  });
});

describe("others_promises", () => {
  const filter = (): RequestFilter => othersPromises(new Prediction(false));

  test("keeps a long prompt from where somebody would be late for it", () => {
    const all = fleet(A100, A100, A100);
    put(all, 0, "tight", { dueAtMs: NOW + 1_800 });
    put(all, 1, "loose", { dueAtMs: NOW + 60_000 });
    const long = ask({ nowMs: NOW, tokens: [20_000, 10] });
    expect(kept(filter(), all, long)).toEqual([1, 2]);
    expect(kept(filter(), all, ask({ nowMs: NOW, tokens: [50, 10] }))).toEqual([0, 1, 2]);
  });

  test("keeps the same GPUs for the late as for others: their being late breaks no promise", () => {
    const one = fleet(A100);
    put(one, 0, "tight", { dueAtMs: NOW + 1_800 });
    expect(kept(filter(), one, ask({ nowMs: NOW, tokens: [20_000, 10], late: true }))).toEqual([]);
  });

  test("does not admit two prompts of which each alone would do", () => {
    const one = fleet(A100);
    put(one, 0, "tight", { dueAtMs: NOW + 3_000 });
    const long = (): Ask => ask({ nowMs: NOW, tokens: [13_000, 1], priority: 5 });
    expect(kept(filter(), one, long())).toEqual([0]);
    put(one, 0, "first", { inputTokens: 13_000, outputTokens: 1 });
    expect(kept(filter(), one, long())).toEqual([]);
  });

  test("thinks of those who have much to write as well as of the tightest", () => {
    const one = fleet(A100);
    put(one, 0, "tight", { outputTokens: 40, dueAtMs: NOW + 1_200 });
    one.work.follow(NOW + 300);
    put(one, 0, "much", { outputTokens: 2_000, dueAtMs: NOW + 40_000 });
    expect(one.work.tightTokens[0]).toBeLessThan(100);
    expect(kept(filter(), one, ask({ nowMs: NOW, tokens: [10, 10], priority: 5 }))).toEqual([0]);
    // Another model makes each of the 2,000 tokens take twice as long; the tight one has but a few left.
    expect(kept(filter(), one, ask({ nowMs: NOW, tokens: [10, 10], priority: 5, model: "other" }))).toEqual([]);
  });

  test("leaves the more of the others' slack the less urgent the request is", () => {
    const most = [1, 2, 3, 4, 5].map((priority) => {
      const one = fleet(A100);
      put(one, 0, "tight", { dueAtMs: NOW + 4_000 });
      let tokens = 0;
      while (kept(filter(), one, ask({ nowMs: NOW, tokens: [tokens + 500, 1], priority: priority as 1 })).length > 0) tokens += 500;
      return tokens;
    });
    expect(most).toEqual([...most].sort((a, b) => a - b));
    expect(most[0]).toBeGreaterThan(0);
  });

  test("takes off what the GPU has read before", () => {
    const one = fleet(A100);
    put(one, 0, "tight", { dueAtMs: NOW + 1_800 });
    const prefixHashes = Array.from({ length: 20 }, (_, index) => index + 1);
    one.prefixes.placed(0, "m", prefixHashes);
    const again = ask({ nowMs: NOW, tokens: [10_240, 1], wishes: wishes({ prefixHashes }) });
    expect(kept(othersPromises(new Prediction(false)), one, again)).toEqual([]);
    expect(kept(othersPromises(new Prediction(true)), one, { ...again })).toEqual([0]);
  });
});

describe("batch_share", () => {
  const filter = (over = {}): RequestFilter => batchShare(new Prediction(false))(hybridWith(over));
  const batch = (tokens: readonly [number, number] = [200, 200]): Ask => ask({ nowMs: NOW, tokens, priority: 1 });

  function limited(stepMs: number): Fleet {
    const both = fleet(A100, A100);
    both.work.batchStepLimitMs[0] = stepMs;
    put(both, 0, "somebody");
    put(both, 1, "somebody else");
    both.work.follow(NOW + 1_000);
    return both;
  }

  test("keeps steps below the limit, where there is one", () => {
    expect(kept(filter(), limited(50), { ...batch(), nowMs: NOW + 1_000 })).toEqual([0, 1]);
    expect(kept(filter(), limited(11), { ...batch(), nowMs: NOW + 1_000 })).toEqual([1]);
  });

  test("keeps long prompts from before those who wait for an answer", () => {
    expect(kept(filter(), limited(50), { ...batch([30_000, 10]), nowMs: NOW + 1_000 })).toEqual([1]);
    expect(kept(filter({ batchPrefillMs: 10_000 }), limited(50), { ...batch([30_000, 10]), nowMs: NOW + 1_000 })).toEqual([0, 1]);
  });

  test("lets an idle GPU take anything: it would have to go somewhere", () => {
    const one = fleet(A100);
    one.work.batchStepLimitMs[0] = 1;
    expect(kept(filter(), one, batch([90_000, 500]))).toEqual([0]);
  });

  test.each<[Partial<Wishes>, boolean]>([
    [{ sessionKey: "s" }, true],
    [{ prefixHashes: [1] }, true],
    [{ preemptible: true }, true],
    [{ gpus: 2 }, true],
    [{ firstOutputMs: 1 }, false],
    [{ totalMs: 1 }, false],
    [{ deadlineAtMs: 1 }, false],
  ])("is asked of work in the background that wishes %o: %s; own_promise of the others", (wished, expected) => {
    const asked = { ...batch(), spec: { ...batch().spec, wishes: wishes(wished) } };
    expect([filter().applies(asked), ownPromise(new Prediction(false)).applies(asked)]).toEqual([expected, !expected]);
  });

  test("is not asked of somebody who was promised nothing but waits", () => {
    expect(filter().applies(ask({ nowMs: NOW, tokens: [200, 200], priority: 5 }))).toBe(false);
  });

  test("is asked of what nobody waits for, and of the late", () => {
    const one = filter();
    expect([one.applies(batch()), one.applies(inTime(1_000)), one.applies({ ...inTime(1_000), late: true }), one.applies(ask({ priority: 1 }))]).toEqual([true, false, true, false]);
  });
});

describe("kv_room", () => {
  const filter = kvRoom(hybridWith({ batchKvHeadroom: 0.25 }));

  function full(used: number, capacity: number): Fleet {
    const one = fleet(A100);
    one.work.kvCapacityTokens[0] = capacity;
    one.work.batchStepLimitMs[0] = 100;
    if (used > 0) put(one, 0, "held", { inputTokens: used - 10, outputTokens: 10 });
    return one;
  }

  test.each<[string, number, number, Partial<Parameters<typeof ask>[0]>, boolean]>([
    ["what fits", 600, 1_000, {}, true],
    ["what does not", 601, 1_000, {}, false],
    ["anything where the cache is not known", 9_000, 0, {}, true],
    ["anything where nothing runs", 0, 100, {}, true],
    ["batch work up to its share", 350, 1_000, { priority: 1 }, true],
    ["batch work beyond its share", 351, 1_000, { priority: 1 }, false],
    ["the late like batch work", 351, 1_000, { late: true }, false],
    ["the lowest priority up to all of it when it was promised something", 600, 1_000, { priority: 1, wishes: wishes({ totalMs: 1 }) }, true],
    ["batch work of any priority up to its share", 351, 1_000, { priority: 4, type: "batch" }, false],
  ])("%s with %i of %i tokens in use (%o): %s", (_, used, capacity, over, fits) => {
    expect(kept(filter, full(used, capacity), ask({ nowMs: NOW, tokens: [300, 100], ...over }))).toEqual(fits ? [0] : []);
  });

  test("counts a token of a model by what it takes of the cache", () => {
    const one = full(600, 1_000);
    one.work.times.tell({ modelId: "big" as never, memoryMib: 15_300, loadMs: 0, kvTokenBytes: 262_144 });
    expect(kept(filter, one, ask({ nowMs: NOW, tokens: [100, 100], model: "big" }))).toEqual([0]);
    expect(kept(filter, one, ask({ nowMs: NOW, tokens: [101, 100], model: "big" }))).toEqual([]);
  });

  test("is not asked of work that has no tokens", () => {
    expect(filter.applies(ask())).toBe(false);
  });
});

describe("fixed_slots", () => {
  test("goes by the count alone", () => {
    const both = fleet(A100, A100);
    for (const id of ["a", "b"]) put(both, 0, id);
    put(both, 1, "c");
    expect(kept(fixedSlots(hybridWith({ fixedSlots: 2 })), both, ask())).toEqual([1]);
  });
});

test("none of them says that a request can never be served, all of them say what it needs", () => {
  const prediction = new Prediction(false);
  for (const filter of [kvRoom(settings()), ownPromise(prediction), othersPromises(prediction), batchShare(prediction)(settings()), fixedSlots(settings())]) {
    expect(filter.everPasses(fleet(), inTime(5))).toBe(true);
    expect(filter.needed(inTime(5))).toMatch(/^(a GPU|room)/);
  }
});

describe("a prediction", () => {
  test("is made anew when anything was placed since, and for every ask", () => {
    const one = fleet(A100);
    const prediction = new Prediction(false);
    const gpus = Int32Array.of(0);
    const wanted = inTime(9_000);
    const before = prediction.make(one, wanted, gpus, 1).writeMs[0]!;
    put(one, 0, "another");
    expect(prediction.make(one, wanted, gpus, 1).writeMs[0]).toBeGreaterThan(before);
    expect(prediction.make(one, inTime(9_000, [100, 500]), gpus, 1).writeMs[0]).toBeGreaterThan(4 * before);
  });

  test("for one GPU does not pass for that of a list", () => {
    const both = fleet(A100, T4);
    const prediction = new Prediction(false);
    const wanted = inTime(9_000);
    prediction.makeFor(both, wanted, 0);
    const { writeMs } = prediction.make(both, wanted, Int32Array.of(0, 1), 2);
    expect(writeMs[1]).toBeGreaterThan(2 * writeMs[0]!);
  });

  test("has room for as many GPUs as there are", () => {
    const many = fleet(...Array.from({ length: 150 }, () => A100));
    const prediction = new Prediction(true);
    const gpus = Int32Array.from({ length: 150 }, (_, gpu) => gpu);
    const wanted = ask({ nowMs: NOW, tokens: [1_000, 100], wishes: wishes({ prefixHashes: [1, 2] }) });
    many.prefixes.placed(149, "m", [1]);
    const { savedMs, readMs } = prediction.make(many, wanted, gpus, 150);
    expect(savedMs[149]).toBeGreaterThan(0);
    expect(savedMs[148]).toBe(0);
    expect(readMs[149]).toBe(readMs[0]);
  });
});

describe("model_room", () => {
  const filter = modelRoom(settings());
  const training = ask({ type: "training", priority: 1 });
  /** GPUs 0 and 1 serve `m`, which needs one of them and a half. */
  const served = (): Fleet => {
    const on = fleet(A100, A100, A100);
    const worth = [{ modelId: "m", share: 2 }];
    on.modelRoom.write({ beyond: new Map([["m", 1]]), worths: new Map([[0, worth], [1, worth]]) });
    return on;
  };

  test("is asked of work in the background that wants whole GPUs, until it has waited too long", () => {
    expect(filter.applies(training)).toBe(true);
    expect(filter.applies({ ...training, band: Number.POSITIVE_INFINITY })).toBe(false);
    expect(filter.applies(ask({ type: "batch", priority: 1 }))).toBe(false);
    expect(filter.applies(ask({ type: "training", wishes: wishes({ totalMs: 60_000 }) }))).toBe(false);
    expect(modelRoom(hybridWith({ modelRoom: false })).applies(training)).toBe(false);
  });

  test("keeps what the models can do without, and says how much is lacking", () => {
    const on = served();
    expect(kept(filter, on, training)).toEqual([2]);
    expect(filter.shortfall!.by(on, training, 0)).toBeCloseTo(0.5, 9);
    on.modelRoom.write({ beyond: new Map([["m", 2]]), worths: new Map([[0, [{ modelId: "m", share: 2 }]]]) });
    expect(kept(filter, on, training)).toEqual([0, 1, 2]);
    expect(kept(filter, on, ask({ type: "training", wishes: wishes({ gpus: 2 }) }))).toEqual([1, 2]);
  });

  test("for what is to come counts on no GPU that somebody has to himself", () => {
    const on = served();
    on.place(0, 0, true);
    const candidates = Int32Array.from([0, 1, 2]);
    expect([...candidates.subarray(0, filter.keep(on, training, candidates, 3))]).toEqual([2]);
    on.modelRoom.write({ beyond: new Map([["m", 0]]), worths: new Map([[0, [{ modelId: "m", share: 2 }]], [1, [{ modelId: "m", share: 2 }]]]) });
    const again = Int32Array.from([0, 1, 2]);
    expect([...again.subarray(0, filter.keep(on, training, again, 3))]).toEqual([0, 2]);
  });
});
