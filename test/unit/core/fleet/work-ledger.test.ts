// What a GPU still has to do, as the ledger predicts it; and what it learns of an engine whose rates it is not told.
import { describe, expect, test } from "@jest/globals";
import { ServiceTimes } from "../../../../src/core/estimate/service-times.js";
import type { Work } from "../../../../src/core/fleet/work.js";
import { WorkLedger } from "../../../../src/core/fleet/work-ledger.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { requestId } from "../build.js";
import { HiddenEngine, type HiddenRates } from "./hidden-engine.js";

const NOW = 1_000_000;
const A100 = "NVIDIA A100-SXM4-80GB";

function ledgerOf(gpus = 1): WorkLedger {
  const ledger = new WorkLedger(new ServiceTimes());
  for (let gpu = 0; gpu < gpus; gpu += 1) ledger.register(gpu, A100);
  return ledger;
}

function work(id: string, over: Partial<Omit<Work, "requestId">> = {}): Work {
  return { requestId: requestId(id), modelId: "m", inputTokens: 200, cachedTokens: 0, outputTokens: 100, firstDueAtMs: Number.POSITIVE_INFINITY, dueAtMs: Number.POSITIVE_INFINITY, ...over };
}

/** What happens at a time is seen by a placement of nothing that is measured in tokens only at the next change; this is one. */
function look(ledger: WorkLedger, nowMs: number, gpu = 0): WorkLedger {
  ledger.place(gpu, work("look", { inputTokens: 0, outputTokens: 1 }), nowMs);
  ledger.release(gpu, requestId("look"), nowMs, null);
  return ledger;
}

describe("placements", () => {
  test("see each other at once: the second prompt is read after the first, and every step is longer", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", { inputTokens: 4_000 }), NOW);
    const [readA, stepA] = [ledger.prefillUntilMs[0]!, ledger.stepMs[0]!];
    ledger.place(0, work("b", { inputTokens: 4_000 }), NOW);
    expect(ledger.prefillUntilMs[0]! - readA).toBeGreaterThanOrEqual(readA - NOW);
    expect(ledger.stepMs[0]).toBeGreaterThan(stepA);
    expect([ledger.held[0], ledger.remainingTokens[0], ledger.kvTokens[0]]).toEqual([2, 200, 8_200]);
  });

  test("of a model that is there share its base; another model brings its own", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("a"), NOW);
    const [same, other] = ["m", "other"].map((model) => ledger.addedStepMs(0, ledger.times.of(model), 300));
    expect(other! - same!).toBeCloseTo(ledger.times.of("m").stepBaseMs[0]!, 9);
    const before = ledger.stepMs[0]!;
    ledger.place(0, work("b", { modelId: "other" }), NOW);
    expect(ledger.stepMs[0]).toBeCloseTo(before + other!, 9);
  });

  test("on one GPU are nothing to another", () => {
    const ledger = ledgerOf(2);
    ledger.place(0, work("a", { dueAtMs: NOW + 9_000 }), NOW);
    expect([ledger.held[1], ledger.stepMs[1], ledger.prefillUntilMs[1], ledger.slackMs[1]]).toEqual([0, 0, 0, Number.POSITIVE_INFINITY]);
  });

  test("of work that is not measured in tokens leave no trace, and their ends neither", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("job", { inputTokens: 0, outputTokens: 0, dueAtMs: NOW + 1 }), NOW);
    ledger.release(0, requestId("job"), NOW + 5, null);
    ledger.release(0, requestId("never placed"), NOW + 5, null);
    expect([ledger.held[0], ledger.stepMs[0], ledger.slackMs[0], ledger.changes]).toEqual([0, 0, Number.POSITIVE_INFINITY, 0]);
  });

  test("whose prompt is cached are read sooner", () => {
    const [cold, warm] = [ledgerOf(), ledgerOf()];
    cold.place(0, work("a", { inputTokens: 4_000 }), NOW);
    warm.place(0, work("a", { inputTokens: 4_000, cachedTokens: 3_500 }), NOW);
    expect(warm.prefillUntilMs[0]! - NOW).toBeLessThan((cold.prefillUntilMs[0]! - NOW) / 3);
  });

  test("and their ends in any order leave an idle GPU as it was", () => {
    const ledger = ledgerOf();
    const random = seededRandom(3);
    const held: string[] = [];
    let nowMs = NOW;
    for (let turn = 0; turn < 2_000; turn += 1) {
      nowMs += random() * 200;
      if (held.length < 30 && random() < 0.5) {
        held.push(`r${turn}`);
        ledger.place(0, work(`r${turn}`, { modelId: `m${Math.floor(random() * 5)}`, inputTokens: 1 + Math.floor(random() * 3_000), outputTokens: Math.floor(random() * 300), dueAtMs: random() < 0.5 ? nowMs + random() * 9_000 : Number.POSITIVE_INFINITY }), nowMs);
      } else if (held.length > 0) {
        const [id] = held.splice(Math.floor(random() * held.length), 1);
        ledger.release(0, requestId(id!), nowMs, null);
      }
      expect(ledger.held[0]).toBe(held.length);
      expect(Number.isFinite(ledger.stepMs[0]! + ledger.stretch[0]! + ledger.remainingTokens[0]! + ledger.prefillUntilMs[0]!)).toBe(true);
    }
    for (const id of held) ledger.release(0, requestId(id), nowMs, null);
    expect([ledger.held[0], ledger.stepMs[0], ledger.remainingTokens[0], ledger.slackMs[0], ledger.tightTokens[0]]).toEqual([0, 0, 0, Number.POSITIVE_INFINITY, 0]);
    expect(ledger.kvTokens[0]).toBeCloseTo(0, 6);
    expect(ledger.prefillUntilMs[0]).toBeLessThanOrEqual(nowMs);
  });
});

describe("time", () => {
  test("writes the answer: a token per step once the prompt has been read", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", { outputTokens: 1_000 }), NOW);
    const [readMs, stepMs] = [ledger.prefillUntilMs[0]!, ledger.stepMs[0]!];
    expect(look(ledger, readMs).remainingTokens[0]).toBe(1_000);
    expect(Math.abs(look(ledger, readMs + 400 * stepMs).remainingTokens[0]! - 600)).toBeLessThan(2);
  });

  test("runs slower for the others while a prompt is read", () => {
    const remaining = [0, 30_000].map((inputTokens) => {
      const ledger = ledgerOf();
      ledger.place(0, work("a", { outputTokens: 1_000 }), NOW);
      const readMs = ledger.prefillUntilMs[0]!;
      if (inputTokens > 0) ledger.place(0, work("long", { inputTokens, outputTokens: 1 }), readMs);
      look(ledger, readMs + 2_000);
      if (inputTokens > 0) ledger.release(0, requestId("long"), readMs + 2_000, null);
      return ledger.remainingTokens[0]!;
    });
    const [alone, beside] = remaining.map((left) => 1_000 - left);
    expect(beside).toBeLessThan(alone! / 2);
    expect(beside).toBeGreaterThan(0);
  });

  test("lets what was expected to have ended go on: it never has nothing left", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", { outputTokens: 10, dueAtMs: NOW + 4_000 }), NOW);
    look(ledger, NOW + 3_600_000);
    expect(ledger.remainingTokens[0]).toBeGreaterThan(0);
    expect(Number.isFinite(ledger.remainingTokens[0]!)).toBe(true);
  });

  test("forgets a rush of prompts: an idle GPU is no slower a minute later", () => {
    const ledger = ledgerOf();
    for (let turn = 0; turn < 20; turn += 1) ledger.place(0, work(`r${turn}`, { inputTokens: 8_000, outputTokens: 1 }), NOW);
    for (let turn = 0; turn < 20; turn += 1) ledger.release(0, requestId(`r${turn}`), NOW + 15_000, null);
    expect(ledger.stretch[0]).toBeGreaterThan(2);
    ledger.follow(NOW + 75_000);
    expect(ledger.stretch[0]).toBeCloseTo(1, 1);
  });

  test("is followed between placements and ends", () => {
    const ledger = ledgerOf(2);
    ledger.place(1, work("a", { outputTokens: 1_000, dueAtMs: NOW + 60_000 }), NOW);
    const tight = ledger.tightTokens[1]!;
    ledger.follow(NOW + 5_000);
    expect(ledger.remainingTokens[1]).toBeLessThan(900);
    expect(ledger.tightTokens[1]).toBeLessThan(tight);
  });

  test.each([["stands still", 0], ["steps back", -5_000]])("that %s breaks nothing, and nothing is counted twice for long", (_, jumpMs) => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", { outputTokens: 1_000, dueAtMs: NOW + 90_000 }), NOW);
    ledger.place(0, work("b", { outputTokens: 1_000 }), NOW + jumpMs);
    look(ledger, NOW + jumpMs);
    expect(ledger.remainingTokens[0]).toBe(2_000);
    for (const id of ["a", "b"]) ledger.release(0, requestId(id), NOW + jumpMs, { runMs: 10, firstOutputMs: 5, inputTokens: 200, outputTokens: 1_000, peakMemoryMib: 0 });
    const { stepBaseMs, stepMsPerRequest, stepMsPerKvToken, prefillMsPerToken } = ledger.times.of("m");
    for (const rates of [stepBaseMs, stepMsPerRequest, stepMsPerKvToken, prefillMsPerToken]) expect(rates[0]).toBeGreaterThan(0);
    expect([ledger.held[0], ledger.stepMs[0]]).toEqual([0, 0]);
  });
});

describe("slack", () => {
  const due = (inMs: number): Partial<Work> => ({ outputTokens: 200, dueAtMs: NOW + inMs });

  test("is what is left until the deadline after what is still to be done", () => {
    const [near, far] = [6_000, 9_000].map((inMs) => {
      const ledger = ledgerOf();
      ledger.place(0, work("a", due(inMs)), NOW);
      return ledger;
    });
    expect(far!.slackMs[0]! - near!.slackMs[0]!).toBeCloseTo(3_000, 6);
    expect(near!.slackMs[0]).toBeLessThan(6_000);
    expect(near!.slackMs[0]).toBeGreaterThan(0);
  });

  test("shrinks with every request beside it, and is there again when that has ended", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", due(9_000)), NOW);
    const before = ledger.slackMs[0]!;
    ledger.place(0, work("b", { inputTokens: 5_000 }), NOW);
    const between = ledger.slackMs[0]!;
    ledger.release(0, requestId("b"), NOW, null);
    expect(between).toBeLessThan(before);
    expect(ledger.slackMs[0]).toBeCloseTo(before, 6);
  });

  test("is Infinity with a promise of the first output alone, which nothing that comes later delays, and the GPU's callers count as such who were promised something", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", { firstDueAtMs: NOW + 2_000 }), NOW);
    expect(ledger.slackMs[0]).toBe(Number.POSITIVE_INFINITY);
    const times = ledger.times.of("m");
    expect(times.promisedAtMs).toBe(NOW);
    expect(times.bearableStepMs).toBeGreaterThan(1_000);
    expect(times.bearableStepMs).toBeLessThan(2_000);
  });

  test.each([
    ["the first output is due sooner", { firstDueAtMs: NOW + 100, dueAtMs: NOW + 60_000 }, 10, 100],
    ["the end is due sooner", { firstDueAtMs: NOW + 2_000, dueAtMs: NOW + 4_000 }, 30, 40],
    ["the first output cannot be in time", { firstDueAtMs: NOW + 1, dueAtMs: NOW + 4_000 }, 30, 40],
  ])("bears iterations by the tighter of its promises that can be kept, as when %s", (_, promised, least, most) => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", promised), NOW);
    const { bearableStepMs } = ledger.times.of("m");
    expect(bearableStepMs).toBeGreaterThan(least);
    expect(bearableStepMs).toBeLessThan(most);
  });

  test("counts the prompts that are still to be read: two that each fit need not fit together", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", { outputTokens: 100, dueAtMs: NOW + 4_000 }), NOW);
    const runningAtMs = ledger.prefillUntilMs[0]! + 100;
    look(ledger, runningAtMs);
    const before = ledger.slackMs[0]!;
    ledger.place(0, work("long", { inputTokens: 12_000, outputTokens: 1 }), runningAtMs);
    const readMs = ledger.prefillUntilMs[0]! - runningAtMs;
    expect(before - ledger.slackMs[0]!).toBeGreaterThan(readMs / 2);
  });

  test("stays about the same while all goes as predicted", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", { outputTokens: 400, dueAtMs: NOW + 20_000 }), NOW);
    const slack = [1_000, 2_000, 4_000].map((inMs) => look(ledger, NOW + inMs).slackMs[0]!);
    for (const each of slack) expect(Math.abs(each - slack[0]!)).toBeLessThan(250);
  });

  test("is that of the tightest, and of no work that nobody waits for", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("batch", { outputTokens: 5_000 }), NOW);
    expect([ledger.slackMs[0], ledger.tightTokens[0]]).toEqual([Number.POSITIVE_INFINITY, 0]);
    ledger.place(0, work("loose", { outputTokens: 200, dueAtMs: NOW + 90_000 }), NOW);
    ledger.place(0, work("tight", { outputTokens: 50, dueAtMs: NOW + 5_000 }), NOW);
    expect(ledger.slackMs[0]).toBeLessThan(5_000);
    expect(ledger.tightTokens[0]).toBe(50);
    ledger.release(0, requestId("tight"), NOW, null);
    expect(ledger.slackMs[0]).toBeGreaterThan(60_000);
  });

  test("is not that of a request that is lost already: keeping others out would not save it", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("lost", { outputTokens: 5_000, dueAtMs: NOW + 1_000 }), NOW);
    expect(ledger.slackMs[0]).toBe(Number.POSITIVE_INFINITY);
  });

  test("of one that writes more than expected is judged by the pace it was promised", () => {
    const ledger = ledgerOf();
    ledger.place(0, work("a", { outputTokens: 100, dueAtMs: NOW + 10_000 }), NOW);
    look(ledger, NOW + 9_500);
    expect(ledger.slackMs[0]).toBeGreaterThan(0);
    expect(ledger.slackMs[0]).toBeLessThan(10_000);
    look(ledger, NOW + 20_000);
    expect(ledger.slackMs[0]).toBeGreaterThan(0);
    expect(ledger.slackMs[0]).toBeLessThan(10_000);
  });
});

/** Rates as multiples of what is assumed before anything was measured. */
interface Factors {
  readonly prefill: number;
  readonly base: number;
  readonly slopes: number;
}

const times = (factor: number): Factors => ({ prefill: factor, base: factor, slopes: factor });

/** A ledger beside hidden engines, one per GPU, which work for the models named; the load changes all the time. */
class Apprenticeship {
  readonly ledger: WorkLedger;
  readonly truth: Record<string, HiddenRates> = {};
  outcomes = 0;
  readonly #engines: HiddenEngine[] = [];
  readonly #models: readonly (readonly string[])[];
  readonly #running: number[];
  readonly #wanted: number[];
  readonly #random = seededRandom(11);
  readonly #most: number;

  constructor(factors: Readonly<Record<string, Factors>>, modelsOfGpu: readonly (readonly string[])[], most: number) {
    this.ledger = ledgerOf(modelsOfGpu.length);
    for (const [modelId, { prefill, base, slopes }] of Object.entries(factors)) {
      const prior = this.ledger.times.of(modelId);
      this.truth[modelId] = {
        prefillMsPerToken: prior.prefillMsPerToken[0]! * prefill,
        stepBaseMs: prior.stepBaseMs[0]! * base,
        stepMsPerRequest: prior.stepMsPerRequest[0]! * slopes,
        stepMsPerKvToken: prior.stepMsPerKvToken[0]! * slopes,
      };
    }
    this.#models = modelsOfGpu;
    this.#most = most;
    this.#running = modelsOfGpu.map(() => 0);
    this.#wanted = modelsOfGpu.map(() => most);
    for (let gpu = 0; gpu < modelsOfGpu.length; gpu += 1) this.#engines.push(new HiddenEngine(this.truth, NOW));
  }

  learn(outcomes: number): this {
    for (let until = this.outcomes + outcomes; this.outcomes < until; ) this.#engines.forEach((_, gpu) => this.#iterate(gpu));
    return this;
  }

  /** The predicted time of an iteration beside the true one: 1 is right. */
  step(modelId: string, requests: number): number {
    const { stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = this.ledger.times.of(modelId);
    const truth = this.truth[modelId]!;
    const tokens = requests * 250;
    return (stepBaseMs[0]! + requests * stepMsPerRequest[0]! + tokens * stepMsPerKvToken[0]!) / (truth.stepBaseMs + requests * truth.stepMsPerRequest + tokens * truth.stepMsPerKvToken);
  }

  prefill(modelId: string): number {
    return this.ledger.times.of(modelId).prefillMsPerToken[0]! / this.truth[modelId]!.prefillMsPerToken;
  }

  #iterate(gpu: number): void {
    const engine = this.#engines[gpu]!;
    const random = this.#random;
    const models = this.#models[gpu]!;
    while (this.#running[gpu]! < this.#wanted[gpu]!) {
      const id = `${gpu}-${engine.nowMs}-${random()}`;
      const modelId = models[Math.floor(random() * models.length)]!;
      const inputTokens = 50 + Math.floor(random() * 100);
      engine.add({ id, modelId, inputTokens, outputTokens: 75 + Math.floor(random() * 150) });
      this.ledger.place(gpu, work(id, { modelId, inputTokens, outputTokens: 150 }), engine.nowMs);
      this.#running[gpu]! += 1;
    }
    for (const { job, measured } of engine.iterate()) {
      this.ledger.release(gpu, requestId(job.id), engine.nowMs, measured);
      this.#running[gpu]! -= 1;
      this.outcomes += 1;
      if (this.outcomes % 20 === 0) this.#wanted[gpu] = random() < 0.5 ? 1 + Math.floor(random() * 3) : 1 + Math.floor(random() * this.#most);
    }
  }
}

describe("learning", () => {
  test.each([
    ["three times too fast", times(3), 4],
    ["three times too fast", times(3), 32],
    ["three times too slow", times(1 / 3), 4],
    ["three times too slow", times(1 / 3), 32],
  ])("from rates taken %s (%o) with up to %i at once comes to the truth", (_, factors, most) => {
    const pupil = new Apprenticeship({ m: factors }, [["m"]], most);
    const typical = Math.max(1, most / 2);
    pupil.learn(60);
    expect(Math.abs(Math.log(pupil.step("m", typical)))).toBeLessThan(Math.log(1.5));
    pupil.learn(500);
    expect(pupil.step("m", typical)).toBeGreaterThan(0.8);
    expect(pupil.step("m", typical)).toBeLessThan(1.25);
    expect(Math.abs(Math.log(pupil.prefill("m")))).toBeLessThan(Math.log(1.5));
  });

  test("does not correct the same error once for each of those that were placed under it", () => {
    const pupil = new Apprenticeship({ m: times(1 / 3) }, [["m"]], 32);
    let lowest = 9;
    for (let turn = 0; turn < 200; turn += 1) lowest = Math.min(lowest, pupil.learn(1).step("m", 16));
    expect(lowest).toBeGreaterThan(0.7);
    const other = new Apprenticeship({ m: times(3) }, [["m"]], 32);
    let highest = 0;
    for (let turn = 0; turn < 200; turn += 1) highest = Math.max(highest, other.learn(1).step("m", 16));
    expect(highest).toBeLessThan(1.4);
  });

  test("tells what a step costs from what each request adds to it", () => {
    const pupil = new Apprenticeship({ m: { prefill: 1, base: 0.5, slopes: 5 } }, [["m"]], 48);
    const before = [1, 40].map((requests) => Math.abs(Math.log(pupil.step("m", requests))));
    pupil.learn(3_000);
    const after = [1, 40].map((requests) => Math.abs(Math.log(pupil.step("m", requests))));
    expect(after[0]).toBeLessThan(before[0]! * 0.75);
    expect(after[1]).toBeLessThan(before[1]! * 0.35);
  });

  test("tells several models on one GPU apart, once they are not always together", () => {
    const pupil = new Apprenticeship({ heavy: times(3), light: times(1 / 3) }, [["heavy"], ["heavy", "light"]], 12);
    pupil.learn(1_500);
    expect(Math.abs(Math.log(pupil.step("heavy", 6)))).toBeLessThan(Math.log(1.2));
    expect(Math.abs(Math.log(pupil.step("light", 6)))).toBeLessThan(Math.log(2.5));
    const base = (modelId: string): number => pupil.ledger.times.of(modelId).stepBaseMs[0]!;
    expect(base("heavy")).toBeGreaterThan(5 * base("light"));
    expect((base("heavy") + base("light")) / (pupil.truth["heavy"]!.stepBaseMs + pupil.truth["light"]!.stepBaseMs)).toBeCloseTo(1, 0);
  });

  test("is for a kind of GPU: what one has taught another of its kind knows, one of another kind does not", () => {
    const ledger = ledgerOf(2);
    ledger.register(2, "Tesla T4");
    const prior = ledger.times.of("m").stepBaseMs[2];
    const step = (): number[] => [0, 1, 2].map((gpu) => ledger.addedStepMs(gpu, ledger.times.of("m"), 300));
    const before = step();
    ledger.place(0, work("a"), NOW);
    ledger.release(0, requestId("a"), NOW + 9_000, { runMs: 9_000, firstOutputMs: 100, inputTokens: 200, outputTokens: 100, peakMemoryMib: 0 });
    const after = step();
    expect(after[0]).toBeGreaterThan(before[0]!);
    expect(after[1]).toBe(after[0]);
    expect(after[2]).toBe(before[2]);
    expect(ledger.times.of("m").stepBaseMs[2]).toBe(prior);
  });

  test.each<[string, Partial<{ runMs: number; firstOutputMs: number; outputTokens: number }>]>([
    ["not a number", { runMs: Number.NaN, firstOutputMs: Number.NaN }],
    ["negative", { runMs: -5, firstOutputMs: -9 }],
    ["nothing", { runMs: 0, firstOutputMs: 0, outputTokens: 0 }],
    ["a first output after the end", { runMs: 100, firstOutputMs: 900 }],
    ["beyond all measure", { runMs: 1e300, firstOutputMs: 1 }],
  ])("from measurements that are %s leaves rates that can be calculated with", (_, over) => {
    const ledger = ledgerOf();
    for (let turn = 0; turn < 30; turn += 1) {
      ledger.place(0, work(`r${turn}`), NOW + turn * 10_000);
      ledger.release(0, requestId(`r${turn}`), NOW + turn * 10_000 + 5_000, { runMs: 2_000, firstOutputMs: 50, inputTokens: 200, outputTokens: 100, peakMemoryMib: 0, ...over });
    }
    const { prefillMsPerToken, stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = ledger.times.of("m");
    for (const rates of [prefillMsPerToken, stepBaseMs, stepMsPerRequest, stepMsPerKvToken]) {
      expect(rates[0]).toBeGreaterThan(0);
      expect(Number.isFinite(rates[0])).toBe(true);
    }
  });

  test("takes no single measurement for more than twice or half of what was expected", () => {
    const ledger = ledgerOf();
    const before = ledger.times.of("m").stepBaseMs[0]!;
    ledger.place(0, work("a"), NOW);
    ledger.release(0, requestId("a"), NOW + 900_000, { runMs: 900_000, firstOutputMs: 100, inputTokens: 200, outputTokens: 100, peakMemoryMib: 0 });
    expect(ledger.times.of("m").stepBaseMs[0]).toBeLessThanOrEqual(2 * before);
  });
});

test("GPUs come in any number, and a renamed one goes by its new kind", () => {
  const ledger = ledgerOf(300);
  ledger.place(299, work("a", { dueAtMs: NOW + 9_000 }), NOW);
  expect([ledger.held[299], ledger.slackMs[298], ledger.batchStepLimitMs[299]]).toEqual([1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  expect(ledger.stretch[299]).toBe(1);
  const before = ledger.addedStepMs(0, ledger.times.of("m"), 300);
  ledger.register(0, "Tesla T4");
  expect(ledger.addedStepMs(0, ledger.times.of("m"), 300)).toBeGreaterThan(2 * before);
});

describe("what an engine holds for others", () => {
  const others = (atMs: number, requests: number, tokens = 0) => ({ modelId: "m", requests, tokens, atMs });

  test("counts like requests of ours, once it was told of twice", () => {
    const [told, held] = [ledgerOf(), ledgerOf()];
    for (const id of ["a", "b", "c"]) held.place(0, work(id), NOW);
    told.engineTells(0, others(NOW, 3, 900), NOW);
    expect([told.stepMs[0], told.others.has(0)]).toEqual([0, false]);
    told.engineTells(0, others(NOW + 1_000, 4, 900), NOW + 1_000);
    expect([told.stepMs[0], told.kvTokens[0], told.others.has(0)]).toEqual([held.stepMs[0], 900, true]);
    expect(told.addedStepMs(0, told.times.of("m"), 300)).toBeCloseTo(held.addedStepMs(0, held.times.of("m"), 300), 9);
    expect([told.held[0], told.slackMs[0]]).toEqual([0, Number.POSITIVE_INFINITY]);
  });

  test("is what it tells less ours, those included that have ended since, and not what came after", () => {
    const ledger = ledgerOf();
    ledger.engineTells(0, others(NOW, 0), NOW);
    for (const id of ["a", "b", "c"]) ledger.place(0, work(id), NOW);
    const withThree = ledger.stepMs[0]!;
    for (const atMs of [NOW + 1_000, NOW + 2_000]) ledger.engineTells(0, others(atMs, 3), atMs);
    expect(ledger.stepMs[0]).toBe(withThree);
    ledger.release(0, requestId("a"), NOW + 2_900, null);
    ledger.place(0, work("d"), NOW + 2_950);
    for (const nowMs of [NOW + 3_000, NOW + 3_001]) ledger.engineTells(0, others(NOW + 2_800, 3), nowMs);
    expect(ledger.others.has(0)).toBe(false);
    for (const nowMs of [NOW + 4_000, NOW + 4_001]) ledger.engineTells(0, others(NOW + 3_900, 5), nowMs);
    expect(ledger.stepMs[0]).toBeGreaterThan(withThree);
  });

  test("ends when it says so or says nothing more, and outlasts ours", () => {
    const ledger = ledgerOf();
    for (const atMs of [NOW, NOW + 1]) ledger.engineTells(0, others(atMs, 2, 500), atMs);
    const alone = ledger.stepMs[0]!;
    ledger.place(0, work("a"), NOW + 2);
    ledger.release(0, requestId("a"), NOW + 3, null);
    expect([ledger.stepMs[0], ledger.kvTokens[0]]).toEqual([alone, 500]);
    ledger.engineTells(0, others(NOW + 4, 0), NOW + 4);
    expect([ledger.stepMs[0], ledger.kvTokens[0], ledger.others.has(0)]).toEqual([0, 0, false]);
    for (const atMs of [NOW + 5, NOW + 6]) ledger.engineTells(0, others(atMs, 2, 500), atMs);
    ledger.forgetOthers(0, NOW + 7);
    ledger.forgetOthers(0, NOW + 8);
    expect([ledger.stepMs[0], ledger.kvTokens[0], ledger.others.has(0)]).toEqual([0, 0, false]);
  });

  test("is no fault of the GPU: rates are learned as if it were ours", () => {
    const learned = (tell: boolean): number => {
      const ledger = ledgerOf();
      const engine = { msPerToken: 0 };
      let nowMs = NOW;
      for (let turn = 0; turn < 60; turn += 1) {
        if (tell) for (const atMs of [nowMs, nowMs + 1]) ledger.engineTells(0, others(atMs, 30, 9_000), atMs);
        engine.msPerToken = ledger.times.of("m").stepBaseMs[0]! + 31 * ledger.times.of("m").stepMsPerRequest[0]!;
        ledger.place(0, work(`r${turn}`, { outputTokens: 200 }), nowMs + 2);
        const runMs = 100 + 199 * engine.msPerToken;
        nowMs += 2 + runMs;
        ledger.release(0, requestId(`r${turn}`), nowMs, { runMs, firstOutputMs: 100, inputTokens: 200, outputTokens: 200, peakMemoryMib: 0 });
      }
      return ledger.times.of("m").stepBaseMs[0]!;
    };
    const before = ledgerOf().times.of("m").stepBaseMs[0]!;
    expect(learned(true) / before).toBeLessThan(1.2);
    expect(learned(false) / before).toBeGreaterThan(learned(true) / before);
  });
});
