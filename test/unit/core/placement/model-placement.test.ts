// Placement against GPUs that do as they are told, each in its own time: what is loaded where after minutes of demand.
import { describe, expect, jest, test } from "@jest/globals";
import { Fleet } from "../../../../src/core/fleet/fleet.js";
import type { ModelOrder, RunnerInfo } from "../../../../src/core/model/gpu.js";
import { ModelMix } from "../../../../src/core/placement/model-mix.js";
import { ModelPlacement } from "../../../../src/core/placement/model-placement.js";
import { DEFAULT_CORE_SETTINGS } from "../../../../src/core/settings.js";
import { seededRandom } from "../../../../src/lib/random.js";
import { estimate, gpuId, inventory, modelId, nodeId, OUT, requestId, settings, spec, wishes } from "../build.js";

const A100 = "NVIDIA A100-SXM4-80GB";
const TOTAL_MIB = 80_000;

interface Move {
  readonly atMs: number;
  readonly gpu: number;
  readonly order: ModelOrder;
}

interface YardOptions {
  /** Weights by model, MiB. */
  readonly weights: Readonly<Record<string, number>>;
  /** What lies on each GPU at first. */
  readonly loaded: readonly (readonly string[])[];
  readonly loadMs?: number;
  /** How long an order to unload takes, as when requests must end first. */
  readonly unloadMs?: number;
  readonly placement?: boolean;
  /** What each GPU is; A100 when left out. */
  readonly names?: readonly string[];
}

/** A node per GPU, whose runner loads and unloads as ordered. */
class Yard {
  readonly fleet: Fleet;
  readonly placement: ModelPlacement;
  readonly moves: Move[] = [];
  nowMs = 1_000_000;
  readonly #options: Required<YardOptions>;
  readonly #models: Set<string>[];
  #due: { atMs: number; gpu: number; order: ModelOrder }[] = [];

  constructor(options: YardOptions) {
    this.#options = { loadMs: 10_000, unloadMs: 0, placement: true, names: [], ...options };
    const all = settings({ strategy: "hybrid", hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, placement: this.#options.placement } });
    this.fleet = new Fleet([], all);
    this.placement = new ModelPlacement(this.fleet, all);
    this.#models = options.loaded.map((models) => new Set(models));
    options.loaded.forEach((_, gpu) => {
      this.fleet.register(gpu, nodeId(`n${gpu}`), inventory(`g${gpu}`, { name: this.#options.names[gpu] ?? A100, memoryTotalMib: TOTAL_MIB }));
      this.connect(gpu);
    });
  }

  connect(gpu: number): void {
    this.#tell(gpu);
    this.fleet.setConnected(nodeId(`n${gpu}`), true, "instance");
  }

  disconnect(gpu: number): void {
    this.fleet.setConnected(nodeId(`n${gpu}`), false, "");
    this.#due = this.#due.filter((due) => due.gpu !== gpu);
  }

  models(gpu: number): string[] {
    return [...this.#models[gpu]!].sort();
  }

  copies(model: string): number {
    return this.#models.filter((models) => models.has(model)).length;
  }

  /** Lets seconds pass, each with `rates` requests of 500 tokens in and 500 out; `look` is called after each. */
  run(seconds: number, rates: Readonly<Record<string, number>>, look: () => void = () => undefined): this {
    for (let second = 0; second < seconds; second += 1) {
      this.nowMs += 1_000;
      for (const [model, rate] of Object.entries(rates)) {
        for (let count = Math.floor(rate * (second + 1)) - Math.floor(rate * second); count > 0; count -= 1) this.ask(model);
      }
      for (const effect of this.placement.tick(this.nowMs)) this.#take(Number(effect.nodeId.slice(1)), effect.order);
      this.#settle();
      look();
    }
    return this;
  }

  ask(model: string): void {
    this.placement.asked(spec("r", { model, wishes: wishes({ totalMs: 10_000 }) }), estimate({ inputTokens: 500, outputTokens: 500 }), this.nowMs);
  }

  get loads(): string[] {
    return this.moves.filter(({ order }) => order.action === "load").map(({ order, gpu }) => `${order.modelId} on ${gpu}`);
  }

  #take(gpu: number, order: ModelOrder): void {
    this.moves.push({ atMs: this.nowMs, gpu, order });
    this.#due.push({ atMs: this.nowMs + (order.action === "load" ? this.#options.loadMs : this.#options.unloadMs), gpu, order });
  }

  #settle(): void {
    const due = this.#due.filter(({ atMs }) => atMs <= this.nowMs);
    this.#due = this.#due.filter(({ atMs }) => atMs > this.nowMs);
    for (const { gpu, order } of due) {
      if (order.action === "load") this.#models[gpu]!.add(order.modelId);
      else this.#models[gpu]!.delete(order.modelId);
      this.#tell(gpu);
    }
  }

  #tell(gpu: number): void {
    const loadable = Object.entries(this.#options.weights).map(([model, memoryMib]) => ({ modelId: modelId(model), memoryMib, loadMs: this.#options.loadMs }));
    const told: RunnerInfo = { name: `runner${gpu}`, kind: "simulated", models: [...this.#models[gpu]!].map(modelId), types: [], gpuIds: [gpuId(`g${gpu}`)], loadable };
    this.fleet.setRunners(nodeId(`n${gpu}`), [told]);
  }
}

const SMALL = 15_300;

describe("demand", () => {
  test("that the GPUs of a model can meet moves nothing", () => {
    const yard = new Yard({ weights: { a: SMALL, b: SMALL }, loaded: [["a", "b"], ["b"], ["a"]] }).run(180, { a: 0.5, b: 0.5 });
    expect(yard.moves).toEqual([]);
  });

  test("beyond that gives a model more GPUs, before it is asked for what they cannot do", () => {
    const yard = new Yard({ weights: { a: SMALL }, loaded: [["a"], [], [], []] });
    yard.run(120, { a: 0.8 });
    const few = yard.copies("a");
    yard.run(180, { a: 3 });
    expect(yard.copies("a")).toBeGreaterThan(few);
    expect(yard.moves.every(({ order }) => order.action === "load")).toBe(true);
  });

  test("for a model that lies nowhere loads it", () => {
    const yard = new Yard({ weights: { a: SMALL, new: SMALL }, loaded: [["a"], ["a"]] }).run(10, { a: 0.2, new: 0.2 });
    expect(yard.loads).toHaveLength(1);
    yard.run(5, { a: 0.2, new: 0.2 });
    expect(yard.copies("new")).toBe(1);
    expect(yard.copies("a")).toBe(2);
  });

  test("for a model that nobody can load is no reason to move anything", () => {
    const yard = new Yard({ weights: { a: SMALL }, loaded: [["a"]] }).run(60, { a: 0.5, unheard: 50 });
    expect(yard.moves).toEqual([]);
  });

  test("in time that promises are missed counts whatever the rates say", () => {
    const yard = new Yard({ weights: { a: SMALL }, loaded: [["a"], ["a"], []] }).run(30, { a: 0.5 });
    expect(yard.moves).toEqual([]);
    yard.run(10, { a: 0.5 }, () => yard.placement.missed(modelId("a")));
    expect(yard.loads).toEqual(["a on 2"]);
  });

  test("that is not measured in tokens is none of its business", () => {
    const yard = new Yard({ weights: { a: SMALL }, loaded: [[]] });
    yard.placement.asked(spec("r", { model: "a", type: "training" }), estimate(), yard.nowMs);
    yard.placement.asked(spec("r", { model: "a", requirements: { expectedDurationMs: 1_000 } }), estimate(), yard.nowMs);
    expect(yard.run(10, {}).moves).toEqual([]);
  });

  test("of one prompt that tells no length loads a model that lies nowhere", () => {
    const yard = new Yard({ weights: { a: SMALL }, loaded: [[]] });
    yard.placement.asked(spec("r", { model: "a" }), estimate(), yard.nowMs);
    expect(yard.run(10, {}).loads).toEqual(["a on 0"]);
  });

  test("does nothing when placement is taken out", () => {
    expect(new Yard({ weights: { a: SMALL }, loaded: [[]], placement: false }).run(30, { a: 5 }).moves).toEqual([]);
  });
});

describe("a model that has too much", () => {
  test("gives a place to one that is short, and keeps one", () => {
    const yard = new Yard({ weights: { idle: 30_000, hot: 30_000 }, loaded: [["idle"], ["idle"], ["idle"], ["hot"]] });
    yard.run(40, { idle: 0.05 });
    yard.run(240, { idle: 0.05, hot: 8 }, () => expect(yard.copies("idle")).toBeGreaterThanOrEqual(1));
    expect(yard.copies("hot")).toBeGreaterThanOrEqual(3);
  });

  test("gives all of them when nobody asks for it any more", () => {
    const yard = new Yard({ weights: { gone: 50_000, hot: 50_000 }, loaded: [["gone"], ["hot"]] });
    yard.run(5, { gone: 1 });
    yard.run(1_200, { hot: 9 });
    expect([yard.copies("gone"), yard.copies("hot")]).toEqual([0, 2]);
  });

  test("is cleared from a GPU for a large model that fits nowhere else", () => {
    const yard = new Yard({ weights: { a: SMALL, b: SMALL, large: 60_000 }, loaded: [["a", "b"], ["a", "b"]] });
    yard.run(40, { a: 0.2, b: 0.2 });
    yard.run(120, { a: 0.2, b: 0.2, large: 0.5 }, () => {
      expect(yard.copies("a")).toBeGreaterThanOrEqual(1);
      expect(yard.copies("b")).toBeGreaterThanOrEqual(1);
    });
    expect(yard.copies("large")).toBe(1);
  });
});

describe("a model with promises", () => {
  test("gets a second GPU where there is room, so that the loss of one is no wait for a load", () => {
    const yard = new Yard({ weights: { a: SMALL, b: SMALL }, loaded: [["a"], ["b"], []] }).run(60, { a: 0.1, b: 0.1 });
    expect([yard.copies("a"), yard.copies("b")]).toEqual([2, 2]);
    yard.disconnect(yard.models(0).includes("a") ? 0 : 2);
    expect(yard.fleet.runners.for(yard.fleet, "a", "inference").somewhere).toBe(true);
    const before = yard.moves.length;
    yard.run(300, { a: 0.1, b: 0.1 });
    expect(yard.moves.length - before).toBeLessThanOrEqual(2);
  });

  test("gets none when nothing was promised for it, nor a third one", () => {
    const plain = new Yard({ weights: { a: SMALL }, loaded: [["a"], []] });
    plain.run(60, {}, () => plain.placement.asked(spec("r", { model: "a" }), estimate({ inputTokens: 50, outputTokens: 50 }), plain.nowMs));
    expect(plain.moves).toEqual([]);
    const spare = new Yard({ weights: { a: SMALL }, loaded: [["a"], [], [], []] }).run(120, { a: 0.1 });
    expect(spare.copies("a")).toBe(2);
  });

  test("takes no other's place for that", () => {
    const loaded = [["quiet"], ["hot"], ["hot"], ["hot"], ["hot"]];
    for (const hot of [0.4, 20]) expect(new Yard({ weights: { quiet: 50_000, hot: 50_000 }, loaded }).run(90, { quiet: 0.1, hot }).moves).toEqual([]);
  });

  test("keeps still where all have theirs", () => {
    const weights = { a: 50_000, b: 50_000, c: 50_000 };
    const yard = new Yard({ weights, loaded: [["a"], ["a"], ["b"], ["b"], ["c"]] }).run(600, { a: 0.1, b: 0.1, c: 0.1 });
    expect(yard.moves).toEqual([]);
  });

  test("goes only where its promises can be kept, if there is such a GPU, and does not count on others", () => {
    const yard = new Yard({ weights: { a: SMALL, b: SMALL }, loaded: [["a"], [], ["b"]], names: ["Tesla T4", "Tesla T4", A100] });
    yard.fleet.work.times.of("a").promise(30, yard.nowMs);
    yard.run(40, { a: 0.1, b: 0.1 });
    expect(yard.loads.filter((load) => load.startsWith("a"))).toEqual(["a on 2"]);
  });

  test("whose promises no GPU can keep goes anywhere", () => {
    const yard = new Yard({ weights: { a: SMALL }, loaded: [[], []], names: ["Tesla T4", "Tesla T4"] });
    yard.fleet.work.times.of("a").promise(1, yard.nowMs);
    expect(yard.run(40, { a: 0.1 }).copies("a")).toBeGreaterThan(0);
  });
});

describe("the last copy of a model in demand", () => {
  test("stays, however short another is", () => {
    const yard = new Yard({ weights: { quiet: 50_000, hot: 50_000 }, loaded: [["quiet"], ["hot"]] });
    yard.run(300, { quiet: 0.05, hot: 40 }, () => expect(yard.copies("quiet")).toBe(1));
    expect(yard.moves).toEqual([]);
  });

  test.each(Array.from({ length: 15 }, (_, seed) => seed + 1))("stays whatever is asked for, though unloading takes a while (seed %i)", (seed) => {
    const random = seededRandom(seed);
    const weights = Object.fromEntries(["a", "b", "c", "d", "e"].map((model) => [model, 10_000 + Math.floor(random() * 45_000)]));
    const names = Object.keys(weights);
    const loaded = Array.from({ length: 24 }, (_, gpu) => [names[gpu < 10 ? gpu % 5 : Math.floor(random() * 2)]!]);
    const yard = new Yard({ weights, loaded, unloadMs: 12_000, loadMs: 20_000 });
    for (let turn = 0; turn < 12; turn += 1) {
      const rates = Object.fromEntries(names.map((model) => [model, model > "b" ? 0.1 : random() * 14]));
      yard.run(25, rates, () => {
        if (random() < 0.3) yard.placement.missed(modelId(names[Math.floor(random() * 2)]!));
        for (const model of names) expect([model, yard.copies(model) > 0]).toEqual([model, true]);
      });
    }
  });
});

describe("moves", () => {
  test("are one at a time, and few at once for the size of the fleet", () => {
    for (const [gpus, most] of [[4, 1], [32, 8]] as const) {
      const yard = new Yard({ weights: { a: SMALL }, loaded: [["a"], ...Array.from({ length: gpus - 1 }, () => [])], loadMs: 20_000 });
      let before = 0;
      yard.run(100, { a: 200 }, () => {
        expect(yard.moves.length - before).toBeLessThanOrEqual(1);
        before = yard.moves.length;
        expect(yard.moves.filter(({ atMs }) => atMs > yard.nowMs - 20_000).length).toBeLessThanOrEqual(most);
      });
      expect(yard.moves.length).toBeGreaterThan(2);
    }
  });

  test("never take a model away before it has been there for a while", () => {
    const yard = new Yard({ weights: { a: 50_000, b: 50_000, c: 50_000 }, loaded: [["a"], ["a"], ["b"], ["c"]] });
    const since = new Map<string, number>();
    const random = [8, 0.1, 5, 0.1, 9, 0.2];
    for (let turn = 0; turn < 24; turn += 1) {
      const rates = { a: random[turn % 6]!, b: random[(turn + 2) % 6]!, c: random[(turn + 4) % 6]! };
      yard.run(15, rates, () => {
        for (const { atMs, gpu, order } of yard.moves) {
          const key = `${gpu} ${order.modelId}`;
          if (atMs !== yard.nowMs) continue;
          if (order.action === "load") since.set(key, atMs);
          else expect(atMs - (since.get(key) ?? 0)).toBeGreaterThanOrEqual(30_000);
        }
      });
    }
  });

  test("come to rest: steady demand is met by one arrangement, not by turns", () => {
    const weights = { a: 30_000, b: 30_000, c: 30_000, d: 30_000 };
    const yard = new Yard({ weights, loaded: [["a"], ["a"], ["b"], ["b"], ["c"], ["d"]] });
    const rates = { a: 2, b: 4, c: 7, d: 1 };
    yard.run(300, rates);
    const before = yard.moves.length;
    yard.run(900, rates);
    expect(yard.moves.length - before).toBeLessThanOrEqual(2);
    expect(before).toBeGreaterThan(0);
  });

  test("stop for an order that is lost with its node, but only while that is away", () => {
    const yard = new Yard({ weights: { a: SMALL }, loaded: [["a"], [], [], []], loadMs: 30_000 });
    yard.run(10, { a: 8 });
    expect(yard.moves).toHaveLength(1);
    const { gpu } = yard.moves[0]!;
    yard.disconnect(gpu);
    const before = yard.moves.length;
    yard.run(60, { a: 8 });
    expect(yard.moves.length).toBeGreaterThan(before);
  });

  test("leave GPUs alone that are out of service", () => {
    const yard = new Yard({ weights: { a: SMALL }, loaded: [["a"], []] });
    yard.fleet.judged(1, OUT);
    expect(yard.run(60, { a: 9 }).moves).toEqual([]);
  });
});

describe("a thousand GPUs", () => {
  const models = Array.from({ length: 12 }, (_, index) => `m${index}`);
  const weights = Object.fromEntries(models.map((model, index) => [model, 12_000 + 1_000 * index]));
  const loaded = Array.from({ length: 1_000 }, (_, gpu) => [models[gpu % 12]!, models[(gpu * 5 + 1) % 12]!]);
  const rates = Object.fromEntries(models.map((model, index) => [model, 1 + index]));

  test("are planned for in pieces: each looks at a bounded number, and all models have their turn", () => {
    const yard = new Yard({ weights, loaded });
    // eslint-disable-next-line typescript/unbound-method -- called with the mix that it was called on
    const plain = ModelMix.prototype.gain;
    const looked = new Map<number, number>();
    const gain = jest.spyOn(ModelMix.prototype, "gain").mockImplementation(function (this: ModelMix, place: number, removed: readonly string[], added: string | null) {
      if (added !== null) asked.add(added);
      const before = this.looks;
      const result = plain.call(this, place, removed, added);
      looked.set(yard.nowMs, (looked.get(yard.nowMs) ?? 0) + this.looks - before);
      return result;
    });
    const asked = new Set<string>();
    yard.run(60, rates);
    gain.mockRestore();
    // The last move that is looked at may go over it, with all GPUs of three models.
    expect(Math.max(...looked.values())).toBeLessThan(4_000 + 3 * 2 * 170);
    expect([...asked].sort()).toEqual([...models].sort());
  });
});

describe("many names", () => {
  test("that nobody can serve do not make a model forgotten that is in demand", () => {
    const yard = new Yard({ weights: { quiet: 50_000, hot: 50_000 }, loaded: [["quiet"], ["hot"]] });
    let name = 0;
    yard.run(90, { quiet: 1, hot: 20 }, () => {
      for (let turn = 0; turn < 1_500; turn += 1) yard.ask(`name${(name += 1)}`);
      expect(yard.copies("quiet")).toBe(1);
    });
    expect(yard.moves).toEqual([]);
  });
});

describe("batch work", () => {
  function limits(promisedAgoMs: number, share: number): number[] {
    const yard = new Yard({ weights: { a: SMALL, b: SMALL }, loaded: [["a"], ["b"]] });
    yard.fleet.work.place(0, { requestId: requestId("r"), modelId: "a", inputTokens: 100, cachedTokens: 0, outputTokens: 100, firstDueAtMs: Number.POSITIVE_INFINITY, dueAtMs: yard.nowMs + 5_000 }, yard.nowMs);
    const all = settings({ hybrid: { ...DEFAULT_CORE_SETTINGS.hybrid, batchStepShare: share } });
    new ModelPlacement(yard.fleet, all).tick(yard.nowMs + promisedAgoMs);
    return [...yard.fleet.work.batchStepLimitMs.subarray(0, 2)];
  }

  test("may lengthen steps by its share where a model has promises to keep, for as long as that was lately", () => {
    const [asked, other] = limits(1_000, 0.5);
    expect(asked).toBeGreaterThan(10);
    expect(asked).toBeLessThan(30);
    expect(other).toBe(Number.POSITIVE_INFINITY);
    expect(limits(1_000, 0.25)[0]).toBeCloseTo(asked! / 2, 6);
    expect(limits(120_000, 0.5)[0]).toBe(Number.POSITIVE_INFINITY);
    expect(limits(1_000, 1)[0]).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("room that models keep from work on whole GPUs", () => {
  const lacking = (yard: Yard, gpus = 1): boolean[] => yard.fleet.inventory.map((_, gpu) => yard.fleet.modelRoom.lacking(gpu, gpus) > 0);
  const placed = (loaded: readonly (readonly string[])[], rates: Readonly<Record<string, number>>): Yard => new Yard({ weights: { a: SMALL, b: SMALL }, loaded, placement: false }).run(120, rates);

  test("is none where nobody asks", () => {
    expect(lacking(placed([["a"], ["b"], []], {}))).toEqual([false, false, false]);
  });

  test("is the last GPU of a model, however little it is asked for, and not the second", () => {
    const yard = placed([["a"], ["b"], ["b"], []], { a: 0.05, b: 0.05 });
    expect(lacking(yard)).toEqual([true, false, false, false]);
    expect(lacking(yard, 2)).toEqual([true, true, true, false]);
  });

  test("grows with what is asked for", () => {
    const free = (rate: number): number => {
      const yard = placed(Array.from({ length: 8 }, () => ["a"]), { a: rate });
      let taken = 0;
      for (; !lacking(yard)[taken]; taken += 1) yard.fleet.place(taken, 0, true);
      return taken;
    };
    expect(free(0.1)).toBe(7);
    expect(free(3)).toBeLessThan(7);
    expect(free(12)).toBeLessThan(free(3));
    expect(free(100)).toBe(0);
  });

  test("is known again each second: what was taken and given back is free for the next", () => {
    const yard = placed([["a"], ["a"]], { a: 0.05 });
    yard.fleet.place(0, 0, true);
    expect(lacking(yard)).toEqual([true, true]);
    yard.run(1, {});
    expect(lacking(yard)[1]).toBe(true);
    yard.fleet.release(0, 0, false, true);
    yard.run(1, {});
    expect(lacking(yard)).toEqual([false, false]);
  });

  test("is kept for who waits without a promise, and not for work in the background", () => {
    const asked = (over: Parameters<typeof spec>[1]): boolean[] => {
      const yard = placed([["a"]], {});
      yard.placement.asked(spec("r", { model: "a", ...over }), estimate({ inputTokens: 500, outputTokens: 500 }), yard.nowMs);
      return lacking(yard.run(1, {}));
    };
    expect(asked({})).toEqual([true]);
    expect(asked({ type: "batch", priority: 1 })).toEqual([false]);
  });
});
