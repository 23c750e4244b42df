import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { BatchingEngine, type EngineEvent } from "../../../src/simulated-gpu/batching-engine.js";
import { serviceTimes, unloadedMs, type ServiceTimes } from "../../../src/simulated-gpu/service-times.js";
import { realOutcome, referenceOutcome, type Outcome, type Plan } from "./reference-engine.js";

/** Round figures, for times that can be worked out by hand. */
const PLAIN: ServiceTimes = {
  prefillMsPerToken: 0.1,
  prefillMsPerTokenPair: 0,
  stepBaseMs: 10,
  stepMsPerRequest: 1,
  stepMsPerKvToken: 0,
  kvCapacityTokens: 10_000,
  kvMibPerToken: 0.125,
  weightsMib: 15_000,
  loadMs: 10_000,
};

function engineOf(times: Partial<ServiceTimes> = {}, options: { maxSeqs?: number; slowdown?: number } = {}): BatchingEngine {
  return new BatchingEngine({ times: () => ({ ...PLAIN, ...times }), maxSeqs: options.maxSeqs ?? 256, tokenBudget: 2048, slowdown: options.slowdown ?? 1 });
}

function job(id: string | number, inputTokens: number, outputTokens: number, more: { modelId?: string; cachedTokens?: number } = {}): Parameters<BatchingEngine["add"]>[0] {
  return { id, modelId: "m", cachedTokens: 0, inputTokens, outputTokens, ...more };
}

function runOut(engine: BatchingEngine): EngineEvent[] {
  const events: EngineEvent[] = [];
  for (let nextAtMs = engine.nextAtMs(); nextAtMs < Number.POSITIVE_INFINITY; nextAtMs = engine.nextAtMs()) events.push(...engine.advance(nextAtMs));
  return events;
}

const at = (events: readonly EngineEvent[], id: string | number, kind: EngineEvent["kind"]): number | undefined =>
  events.find((event) => event.id === id && event.kind === kind)?.atMs;

describe("a request alone", () => {
  test("gets its first token out of its prompt and one with every step after that", () => {
    const engine = engineOf();
    engine.add(job("a", 100, 5), 1000);
    expect(runOut(engine)).toEqual([
      { id: "a", kind: "started", atMs: 1000 },
      { id: "a", kind: "first_output", atMs: 1020 },
      { id: "a", kind: "ended", atMs: 1020 + 4 * 11 },
    ]);
  });

  test("takes what the closed form of the service times says", () => {
    const times = serviceTimes("A100-80GB", "llama-3.1-8b");
    const engine = new BatchingEngine({ times: () => times, maxSeqs: 256, tokenBudget: 2048 });
    engine.add(job("a", 5000, 300), 0);
    const events = runOut(engine);
    expect(at(events, "a", "first_output")).toBeCloseTo(unloadedMs("A100-80GB", "llama-3.1-8b", 5000, 1), 6);
    expect(at(events, "a", "ended")).toBeCloseTo(unloadedMs("A100-80GB", "llama-3.1-8b", 5000, 300), 6);
  });

  test("does not read what a cache holds, but its last token", () => {
    const engine = engineOf();
    engine.add(job("a", 1000, 1, { cachedTokens: 900 }), 0);
    engine.add(job("b", 1000, 1, { cachedTokens: 1000 }), 1000);
    const events = runOut(engine);
    expect(at(events, "a", "ended")).toBeCloseTo(10 + 100 * 0.1, 9);
    expect(at(events, "b", "ended")).toBeCloseTo(1010 + 0.1, 9);
  });

  test("of nothing but a prompt ends with it", () => {
    const engine = engineOf();
    engine.add(job("a", 100, 0), 0);
    expect(runOut(engine).map(({ kind }) => kind)).toEqual(["started", "first_output", "ended"]);
  });

  test("that is larger than the cache is served all the same", () => {
    const engine = engineOf({ kvCapacityTokens: 100 });
    engine.add(job("a", 500, 50), 0);
    expect(at(runOut(engine), "a", "ended")).toBeCloseTo(10 + 50 + 49 * 11, 6);
  });

  test("takes longer on a slow GPU", () => {
    const engine = engineOf({}, { slowdown: 2 });
    engine.add(job("a", 100, 5), 0);
    expect(at(runOut(engine), "a", "ended")).toBeCloseTo(2 * (20 + 44), 6);
  });
});

describe("requests together", () => {
  test("that come at the same moment share their first iteration", () => {
    const engine = engineOf();
    engine.add(job("a", 100, 2), 0);
    engine.add(job("b", 200, 2), 0);
    const events = runOut(engine);
    expect([at(events, "a", "first_output"), at(events, "b", "first_output")]).toEqual([40, 40]);
    expect(at(events, "b", "ended")).toBe(40 + 12);
  });

  test("come in between two iterations", () => {
    const engine = engineOf();
    engine.add(job("a", 100, 100), 0);
    expect(engine.advance(25).length).toBe(2);
    engine.add(job("b", 100, 1), 25);
    // a's first step ends at 31; then both share one.
    expect(at(runOut(engine), "b", "first_output")).toBeCloseTo(31 + 21, 9);
  });

  test("read a long prompt in chunks that leave every step its tokens", () => {
    const engine = engineOf({ kvCapacityTokens: 100_000 });
    engine.add(job("a", 100, 1000), 0);
    engine.advance(20);
    engine.add(job("b", 5000, 1), 20);
    // Chunks of 2047, 2047 and 906, after the step in flight.
    expect(at(runOut(engine), "b", "first_output")).toBeCloseTo(31 + 3 * 11 + 500, 6);
  });

  test("wait for a place", () => {
    const engine = engineOf({}, { maxSeqs: 1 });
    engine.add(job("a", 100, 5), 0);
    engine.add(job("b", 100, 5), 0);
    expect([engine.running, engine.waiting]).toEqual([0, 2]);
    engine.advance(0);
    expect([engine.running, engine.waiting]).toEqual([1, 1]);
    expect(at(runOut(engine), "b", "started")).toBe(64);
  });

  test("wait for room in the cache, and those behind them wait too", () => {
    const engine = engineOf({ kvCapacityTokens: 1000 });
    engine.add(job("a", 600, 3), 0);
    engine.add(job("b", 600, 1), 0);
    engine.add(job("c", 10, 1), 0);
    engine.advance(0);
    expect([engine.running, engine.waiting, engine.kvTokens, engine.kvCapacityTokens]).toEqual([1, 2, 600, 1000]);
    const events = runOut(engine);
    expect(at(events, "b", "started")).toBe(at(events, "a", "ended"));
    expect(at(events, "c", "started")).toBe(at(events, "b", "started"));
  });

  test("are put back when the cache is full, the last one first, and still end once", () => {
    const engine = engineOf({ kvCapacityTokens: 1000 });
    for (const id of ["a", "b"]) engine.add(job(id, 450, 200), 0);
    const events = runOut(engine);
    expect(events.map(({ id, kind }) => `${id} ${kind}`)).toEqual(["a started", "b started", "a first_output", "b first_output", "a ended", "b ended"]);
    // b is put back after 50 steps; it reads again what a's 149 further tokens took of its cache, but for the last step.
    const put = 10 + 90 + 50 * 12;
    expect(at(events, "a", "ended")).toBeCloseTo(put + 149 * 11, 6);
    expect(at(events, "b", "ended")).toBeCloseTo(put + 149 * 11 + 10 + 14.9 + 148 * 11, 6);
  });

  test("that are put back in the middle of their prompt go on there, and read again what was overwritten", () => {
    const engine = new BatchingEngine({ times: () => ({ ...PLAIN, kvCapacityTokens: 1000 }), maxSeqs: 8, tokenBudget: 101 });
    engine.add(job("a", 400, 10), 0);
    engine.advance(81);
    engine.add(job("b", 594, 1), 81);
    const events = runOut(engine);
    // After five chunks of 100 the cache is full; a's last three steps take the room of three of b's tokens.
    const put = 91 + 5 * 21;
    expect(at(events, "a", "ended")).toBeCloseTo(put + 3 * 11, 6);
    expect(at(events, "b", "first_output")).toBeCloseTo(put + 3 * 11 + 10 + 97 * 0.1, 6);
  });

  test("of several models take each model's weights in every iteration, and share the cache by what their tokens take", () => {
    const times: Record<string, ServiceTimes> = { small: { ...PLAIN, kvCapacityTokens: 2000 }, large: { ...PLAIN, stepBaseMs: 30, kvCapacityTokens: 1000 } };
    const engine = new BatchingEngine({ times: (modelId) => times[modelId]!, maxSeqs: 8, tokenBudget: 2048 });
    engine.add(job("a", 1000, 2, { modelId: "small" }), 0);
    engine.add(job("b", 400, 2, { modelId: "large" }), 0);
    engine.advance(0);
    expect(engine.kvUse).toBeCloseTo(0.9, 9);
    expect([engine.kvTokens, engine.kvCapacityTokens]).toEqual([1400, 1500]);
    expect(at(runOut(engine), "b", "ended")).toBeCloseTo(40 + 140 + 42, 9);
  });

  test("count their room anew when the times change", () => {
    let kvCapacityTokens = 1000;
    const engine = new BatchingEngine({ times: () => ({ ...PLAIN, kvCapacityTokens }), maxSeqs: 8, tokenBudget: 2048 });
    engine.add(job("a", 600, 100), 0);
    engine.add(job("b", 600, 100), 0);
    engine.advance(200);
    expect([engine.running, engine.waiting]).toEqual([1, 1]);
    kvCapacityTokens = 2000;
    engine.retime(200);
    engine.advance(220);
    expect([engine.running, engine.waiting]).toEqual([2, 0]);
  });
});

describe("removing", () => {
  test("gives back the tokens that were made, and room to those that wait", () => {
    const engine = engineOf({}, { maxSeqs: 1 });
    engine.add(job("a", 100, 1000), 0);
    engine.add(job("b", 100, 1), 0);
    // The first token at 20, then one every 11 ms.
    expect(engine.remove("a", 20 + 3 * 11 + 5)).toEqual({ outputTokens: 4, workLeftMs: 0 });
    expect(at(runOut(engine), "b", "started")).toBe(20 + 4 * 11);
  });

  test("of what is not there, or not any more, is nothing", () => {
    const engine = engineOf();
    engine.add(job("a", 100, 1), 0);
    expect(engine.remove("b", 0)).toBeNull();
    expect(engine.remove("a", 500)).toBeNull();
    expect(at(engine.advance(500), "a", "ended")).toBe(20);
  });

  test("the only one leaves an idle GPU behind the iteration in flight", () => {
    const engine = engineOf();
    engine.add(job("a", 100, 1000), 0);
    expect(engine.remove("a", 25)).toEqual({ outputTokens: 1, workLeftMs: 0 });
    expect(runOut(engine).map(({ kind }) => kind)).toEqual(["started", "first_output"]);
    expect([engine.running, engine.waiting, engine.kvTokens, engine.busyMs(1000)]).toEqual([0, 0, 0, 31]);
  });
});

describe("work that is not tokens", () => {
  test("takes its time alone, and twice that beside as much again", () => {
    const engine = engineOf();
    engine.addWork({ id: "w", workMs: 1000 }, 0);
    engine.addWork({ id: "v", workMs: 1000 }, 500);
    const events = runOut(engine);
    expect([at(events, "w", "started"), at(events, "w", "ended"), at(events, "v", "ended")]).toEqual([0, 1500, 2000]);
    expect(events.some(({ kind }) => kind === "first_output")).toBe(false);
  });

  test("shares the GPU with requests in equal parts", () => {
    const engine = engineOf();
    engine.addWork({ id: "w", workMs: 1000 }, 0);
    engine.add(job("a", 100, 5), 0);
    const events = runOut(engine);
    expect(at(events, "a", "ended")).toBeCloseTo(2 * 64, 6);
    expect(at(events, "w", "ended")).toBeCloseTo(1000 + 64, 6);
    expect(engine.busyMs(5000)).toBeCloseTo(1064, 6);
  });

  test("can be removed", () => {
    const engine = engineOf();
    engine.addWork({ id: "w", workMs: 1000 }, 0);
    engine.addWork({ id: "v", workMs: 100 }, 0);
    expect(engine.remove("w", 100)).toEqual({ outputTokens: 0, workLeftMs: 950 });
    expect(at(runOut(engine), "v", "ended")).toBe(150);
  });
});

describe("misuse is refused", () => {
  test.each([
    ["an id twice", (engine: BatchingEngine) => engine.add(job("a", 1, 1), 0)],
    ["a time before the last", (engine: BatchingEngine) => engine.advance(-1)],
    ["negative tokens", (engine: BatchingEngine) => engine.add(job("b", -1, 1), 0)],
    ["a GPU faster than its kind", () => engineOf({}, { slowdown: 0.5 })],
  ])("%s", (_, misuse) => {
    const engine = engineOf();
    engine.add(job("a", 1, 1), 0);
    expect(() => misuse(engine)).toThrow(/Invariant broken/);
  });
});

const times = fc
  .record({
    prefillMsPerToken: fc.double({ min: 0.005, max: 0.3, noNaN: true }),
    prefillMsPerTokenPair: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e-5, noNaN: true })),
    stepBaseMs: fc.double({ min: 1, max: 40, noNaN: true }),
    stepMsPerRequest: fc.double({ min: 0, max: 0.5, noNaN: true }),
    stepMsPerKvToken: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 2e-4, noNaN: true })),
    kvCapacityTokens: fc.oneof(fc.integer({ min: 200, max: 3000 }), fc.integer({ min: 20_000, max: 100_000 })),
  })
  .map((some): ServiceTimes => ({ ...PLAIN, ...some }));

/** Many at once, others at any time; never by chance at the very end of an iteration, where rounding decides who comes in. */
const momentMs = fc.oneof(fc.constant(500 + Math.SQRT2), fc.double({ min: 0, max: 15_000, noNaN: true }));
const apartMs = (atMs: number, index: number): number => (atMs === 500 + Math.SQRT2 ? atMs : atMs + ((index + 1) * Math.PI) / 1000);

const plans: fc.Arbitrary<Plan> = fc
  .record({
    times: fc.record({ m0: times, m1: times }),
    models: fc.integer({ min: 1, max: 2 }),
    maxSeqs: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(64)),
    spareBudget: fc.integer({ min: 1, max: 2048 }),
    slowdown: fc.oneof(fc.constant(1), fc.double({ min: 1, max: 3, noNaN: true })),
    jobs: fc.array(
      fc.record({
        atMs: momentMs,
        model: fc.nat(1),
        inputTokens: fc.oneof(fc.nat(800), fc.nat(8000)),
        cachedShare: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
        outputTokens: fc.oneof(fc.nat(100), fc.nat(600)),
        removedAfterMs: fc.option(fc.double({ min: 1, max: 10_000, noNaN: true }), { freq: 6 }),
      }),
      { minLength: 1, maxLength: 40 },
    ),
    works: fc.array(fc.record({ atMs: momentMs, workMs: fc.double({ min: 0, max: 3000, noNaN: true }) }), { maxLength: 3 }),
  })
  .map(({ models, spareBudget, jobs, works, ...rest }) => ({
    ...rest,
    tokenBudget: rest.maxSeqs + spareBudget,
    jobs: jobs.map(({ model, cachedShare, ...each }, id) => ({ ...each, atMs: apartMs(each.atMs, id), id, modelId: `m${model % models}`, cachedTokens: Math.floor(each.inputTokens * cachedShare) })),
    works: works.map((work, index) => ({ ...work, atMs: apartMs(work.atMs, 100 + index), id: `w${index}` })),
    removals: jobs.flatMap(({ atMs, removedAfterMs }, id) => (removedAfterMs === null ? [] : [{ id, atMs: apartMs(atMs + 1 + removedAfterMs, 200 + id) }])),
  }));

/** The events without their times, by job: the order of unrelated events at the same moment means nothing. */
function stories({ events }: Outcome): Record<string, string> {
  const told: Record<string, string> = {};
  for (const { id, kind } of events) told[id] = `${told[id] ?? ""} ${kind}`;
  return told;
}

const RUNS = { numRuns: 300 };

describe("whatever comes", () => {
  test("everything happens when a step-by-step engine says that it happens", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const real = realOutcome(plan);
        const reference = referenceOutcome(plan);
        expect(stories(real)).toEqual(stories(reference));
        expect(real.removed).toEqual(reference.removed);
        const expectedAtMs = new Map(reference.events.map(({ id, kind, atMs }) => [`${id} ${kind}`, atMs]));
        for (const { id, kind, atMs } of real.events) {
          const expected = expectedAtMs.get(`${id} ${kind}`) ?? Number.NaN;
          expect(Math.abs(atMs - expected)).toBeLessThanOrEqual(1e-6 * Math.max(1, expected));
        }
        expect(Math.abs(real.busyMs - reference.busyMs)).toBeLessThanOrEqual(1e-6 * Math.max(1, reference.busyMs));
      }),
      RUNS,
    );
  });

  test("every job that is not removed starts, gives output and ends, once each and in the order of time", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const outcome = realOutcome(plan);
        const told = stories(outcome);
        const gone = new Set(plan.removals.filter((_, index) => removalsInOrder(plan, outcome)[index] !== null).map(({ id }) => id));
        for (const { id } of plan.jobs) if (!gone.has(id)) expect(told[id]).toBe(" started first_output ended");
        for (const { id } of plan.works) expect(told[id]).toBe(" started ended");
        const timesMs = outcome.events.map(({ atMs }) => atMs);
        expect(timesMs).toEqual(timesMs.toSorted((a, b) => a - b));
      }),
      RUNS,
    );
  });

  test("happens again the same way, however often the time is told in between", () => {
    fc.assert(
      fc.property(plans, (plan) => {
        expect(realOutcome(plan)).toEqual(realOutcome(plan));
        const { jobs } = plan;
        const engine = new BatchingEngine({ ...plan, times: (modelId) => plan.times[modelId as "m0"]! });
        for (const each of jobs) engine.add(each, 0);
        const often = new BatchingEngine({ ...plan, times: (modelId) => plan.times[modelId as "m0"]! });
        for (const each of jobs) often.add(each, 0);
        const events = runOut(engine);
        const again: EngineEvent[] = [];
        for (let step = 0; often.nextAtMs() < Number.POSITIVE_INFINITY; step += 1) again.push(...often.advance(step < 200 ? step * 7.7 : Math.max(200 * 7.7, often.nextAtMs())));
        expect(again.map(({ id, kind }) => `${id} ${kind}`)).toEqual(events.map(({ id, kind }) => `${id} ${kind}`));
        again.forEach(({ atMs }, index) => expect(Math.abs(atMs - events[index]!.atMs)).toBeLessThan(1e-6 * Math.max(1, atMs)));
      }),
      { numRuns: 100 },
    );
  });
});

test("a hundred thousand requests cost well under four seconds of CPU, because tokens without events cost nothing", () => {
  const engine = engineOf({ kvCapacityTokens: 400_000 });
  const before = process.cpuUsage();
  let ended = 0;
  const count = (events: readonly EngineEvent[]): void => {
    for (const { kind } of events) if (kind === "ended") ended += 1;
  };
  for (let id = 0; id < 100_000; id += 1) {
    const atMs = id * 45;
    for (let nextAtMs = engine.nextAtMs(); nextAtMs <= atMs; nextAtMs = engine.nextAtMs()) count(engine.advance(nextAtMs));
    engine.add(job(id, 300, 100), atMs);
  }
  count(runOut(engine));
  const { user, system } = process.cpuUsage(before);
  expect(ended).toBe(100_000);
  expect((user + system) / 1e6).toBeLessThan(4);
});

/** The answers to the removals, in the order in which the plan lists them; they were given in the order of time. */
function removalsInOrder({ removals }: Plan, { removed }: Outcome): (number | null)[] {
  const answers: (number | null)[] = [];
  removals.map(({ atMs }, index) => ({ atMs, index })).toSorted((a, b) => a.atMs - b.atMs).forEach(({ index }, turn) => (answers[index] = removed[turn] ?? null));
  return answers;
}
