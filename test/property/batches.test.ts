// Batches under random fleets, sizes, run times, other work and deaths: each GPU that gets some of a batch gets enough of it, one that shall
// not be split has one GPU, nothing is lost, and nobody waits for long beside a free GPU.
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { Engine } from "../../src/core/engine.js";
import type { Step } from "../../src/core/events.js";
import type { BatchRef } from "../../src/core/model/request.js";
import { DEFAULT_CORE_SETTINGS } from "../../src/core/settings.js";
import { takeSnapshot } from "../../src/core/snapshot.js";
import { seededRandom } from "../../src/lib/random.js";
import { requestId, World } from "../unit/core/build.js";

const given = Number(process.env["GPU_ROUTER_PROPERTY_SEED"]);
const seed = Number.isInteger(given) && given !== 0 ? given : Date.now() % 0x7fffffff;
const runs = Math.min(300, Number(process.env["GPU_ROUTER_PROPERTY_RUNS"] ?? 60));

const TICK_MS = 50;
/** A look at the line may take a tick to come, and another to be noticed here. */
const LOOK_MS = 3 * TICK_MS;
const GIVE_UP_MS = 3_600_000;

interface Case {
  readonly seed: number;
  readonly nodes: number;
  readonly gpusPerNode: number;
  readonly slots: number;
  readonly longestMs: number;
  readonly strategy: string;
  readonly batches: readonly { readonly size: number; readonly minPerGpu: number; readonly split: boolean; readonly atMs: number; readonly model: string }[];
  /** Other requests a second. */
  readonly others: number;
}

const cases: fc.Arbitrary<Case> = fc.record({
  seed: fc.nat(),
  nodes: fc.integer({ min: 1, max: 3 }),
  gpusPerNode: fc.integer({ min: 1, max: 3 }),
  slots: fc.constantFrom(1, 2, 4, 8),
  longestMs: fc.constantFrom(300, 3_000, 20_000),
  strategy: fc.constantFrom("hybrid", "weighted", "least_outstanding", "round_robin", "power_of_two", "random"),
  batches: fc.array(fc.record({ size: fc.integer({ min: 2, max: 30 }), minPerGpu: fc.integer({ min: 1, max: 8 }), split: fc.boolean(), atMs: fc.integer({ min: 0, max: 10_000 }), model: fc.constantFrom("a", "b") }), { minLength: 1, maxLength: 4 }),
  others: fc.constantFrom(0, 2, 10),
});

/** What happens to the fleet meanwhile. */
interface Trouble {
  readonly deaths: boolean;
  readonly maxHoldMs: number;
}

class Life {
  readonly world: World;
  readonly #case: Case;
  readonly #trouble: Trouble;
  readonly #random: () => number;
  /** Attempts that run, and when they end. */
  #ends: { readonly id: string; readonly attempt: number; readonly atMs: number }[] = [];
  /** Node index to when it comes back. */
  readonly #down = new Map<number, number>();
  /** GPUs that each batch's requests were last given, by batch. */
  readonly placed = new Map<string, Map<string, string>>();
  readonly #refs = new Map<string, BatchRef>();
  /** By batch: since when one of it waits, none of it was placed, and some GPU has had room all the while, ms. */
  readonly #besideRoomSince = new Map<string, number>();
  #others = 0;

  constructor(one: Case, trouble: Trouble) {
    this.#case = one;
    this.#trouble = trouble;
    this.#random = seededRandom(one.seed);
    const { maxHoldMs } = trouble;
    this.world = new World({
      strategy: one.strategy,
      maxConcurrentTasksPerGpu: one.slots,
      requestTimeoutMs: 0,
      maxRetries: 100,
      gpuCooldownMs: 100,
      batch: { ...DEFAULT_CORE_SETTINGS.batch, maxHoldMs },
      health: { ...DEFAULT_CORE_SETTINGS.health, maxCooldownMs: 200, probePatienceMs: 0, slowStartMs: 1, minOutcomes: 1_000_000 },
    });
    for (let node = 0; node < one.nodes; node += 1) this.#connect(node);
  }

  #connect(node: number): void {
    this.#hear(this.world.connect(`n${node}`, Array.from({ length: this.#case.gpusPerNode }, (_, gpu) => `n${node}g${gpu}`)));
  }

  run(): void {
    const { world } = this;
    const startMs = world.nowMs;
    const coming = this.#case.batches.map((batch, index) => ({ ...batch, id: `batch-${index}` })).sort((a, b) => a.atMs - b.atMs);
    for (;;) {
      const sinceMs = world.nowMs - startMs;
      while (coming[0] && coming[0].atMs <= sinceMs) this.#come(coming.shift()!);
      if (sinceMs < 15_000) this.#trickle();
      if (this.#trouble.deaths && sinceMs < 20_000) this.#kill();
      this.#return();
      this.#endDue();
      this.#hear(world.pass(TICK_MS));
      this.#checkRoom();
      if (coming.length === 0 && sinceMs >= 20_000 && this.#down.size === 0 && world.engine.state.requests.size === 0) break;
      if (sinceMs > GIVE_UP_MS) throw new Error(`stuck: ${[...world.engine.state.requests.keys()].join(", ")}`);
    }
    expect(world.engine.state.batches.empty).toBe(true);
  }

  #come({ id, size, minPerGpu, split, model }: Case["batches"][number] & { readonly id: string }): void {
    const batch = { id, size, split, minPerGpu };
    this.#refs.set(id, batch);
    this.placed.set(id, new Map());
    for (let item = 0; item < size; item += 1) this.#hear(this.world.submit(`${id}/${item}`, { model, batch }));
    const { state } = this.world.engine;
    const restored = new Engine(this.world.settings, takeSnapshot(state)).state;
    expect(restored.batches.stored()).toEqual(state.batches.stored());
    restored.check();
  }

  #trickle(): void {
    if (this.#random() >= (this.#case.others * TICK_MS) / 1000) return;
    this.#others += 1;
    this.#hear(this.world.submit(`other-${this.#others}`, { model: this.#random() < 0.5 ? "a" : "b" }));
  }

  /** One node stays. */
  #kill(): void {
    const node = 1 + Math.floor(this.#random() * (this.#case.nodes - 1));
    if (this.#case.nodes === 1 || this.#down.has(node) || this.#random() > 0.01) return;
    this.#down.set(node, this.world.nowMs + 2_000 + this.#random() * 8_000);
    this.#hear(this.world.disconnect(`n${node}`));
  }

  #return(): void {
    for (const [node, atMs] of this.#down) {
      if (atMs > this.world.nowMs) continue;
      this.#down.delete(node);
      this.#connect(node);
    }
  }

  #endDue(): void {
    const due = this.#ends.filter(({ atMs }) => atMs <= this.world.nowMs).sort((a, b) => a.atMs - b.atMs);
    this.#ends = this.#ends.filter(({ atMs }) => atMs > this.world.nowMs);
    for (const { id, attempt } of due) {
      const request = this.world.engine.state.requests.get(requestId(id));
      // Lost with its node, or about to be.
      if (!request || request.attempt !== attempt || request.phase === "queued" || this.#down.has(Number(request.nodeId.slice(1)))) continue;
      this.#hear(this.world.end(id));
    }
  }

  #hear(step: Step): void {
    for (const effect of step.effects) {
      if (effect.kind !== "dispatch") continue;
      const { spec } = effect.request;
      this.#ends.push({ id: spec.requestId, attempt: effect.attempt, atMs: this.world.nowMs + 1 + this.#random() * this.#case.longestMs });
      if (spec.batch) this.placed.get(spec.batch.id)!.set(spec.requestId, effect.gpuId);
      this.#besideRoomSince.delete(spec.batch?.id ?? "");
    }
  }

  /** Whoever waits beside a GPU with room waits for his batch, which goes on or does not hold him for long. */
  #checkRoom(): void {
    const { state } = this.world.engine;
    const free = [...state.fleet.inventory.keys()].some((gpu) => state.fleet.blocked[gpu] === 0);
    const waiting = new Map<string, boolean>();
    const running = new Set<string>();
    for (const { spec, phase } of state.requests.values()) {
      if (phase !== "queued") running.add(spec.batch?.id ?? "");
      else if (state.retryOf(spec.requestId) === null) waiting.set(spec.batch?.id ?? "", true);
    }
    for (const id of [...this.#refs.keys(), ""]) {
      const excused = id !== "" && this.#refs.get(id)!.split === false && running.has(id);
      if (!free || !waiting.has(id) || excused) this.#besideRoomSince.delete(id);
      else if (!this.#besideRoomSince.has(id)) this.#besideRoomSince.set(id, this.world.nowMs);
      const beside = this.world.nowMs - (this.#besideRoomSince.get(id) ?? this.world.nowMs);
      const bearable = LOOK_MS + (id === "" ? 0 : this.#trouble.maxHoldMs);
      if (beside > bearable) throw new Error(`${id || "other work"} waits for ${beside} ms beside a GPU that has room`);
    }
  }
}

/** How many of a batch each of its GPUs was given. */
function sharesOf(placed: ReadonlyMap<string, string>): number[] {
  const counts = new Map<string, number>();
  for (const gpu of placed.values()) counts.set(gpu, (counts.get(gpu) ?? 0) + 1);
  return [...counts.values()];
}

describe(`batches (GPU_ROUTER_PROPERTY_SEED=${seed}, ${runs} runs)`, () => {
  test("each GPU that gets some gets enough, or all of it; one that shall not be split has one GPU; all of it is done", () => {
    const property = fc.property(cases, (one) => {
      const life = new Life(one, { deaths: false, maxHoldMs: GIVE_UP_MS });
      life.run();
      one.batches.forEach(({ size, minPerGpu, split }, index) => {
        const shares = sharesOf(life.placed.get(`batch-${index}`)!);
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(size);
        if (!split) expect(shares).toEqual([size]);
        for (const share of shares) expect(share).toBeGreaterThanOrEqual(Math.min(size, minPerGpu));
        expect(shares.length).toBeLessThanOrEqual(Math.max(1, Math.floor(size / minPerGpu)));
      });
    });
    fc.assert(property, { seed, numRuns: runs });
  }, 300_000);

  test("nodes die and come back: all of it is done, and it waits beside a free GPU for no longer than a batch may be held", () => {
    fc.assert(fc.property(cases, (one) => void new Life(one, { deaths: true, maxHoldMs: 500 }).run()), { seed, numRuns: runs });
  }, 300_000);
});
