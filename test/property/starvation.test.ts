// Work on several GPUs among an endless stream of small work that fills every gap: it is served within a bound, whatever the small work
// takes and however wrong its callers are about that. And work that nobody waits for, among work that was promised something.
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { Reserver } from "../../src/core/placement/reserver.js";
import type { Priority } from "../../src/core/model/request.js";
import { seededRandom } from "../../src/lib/random.js";
import { wishes, World } from "../unit/core/build.js";

const LONGEST_MS = 10_000;
/** So much small work is always waiting. */
const BACKLOG = 6;
const TICK_MS = 100;
/** Longer than what is promised: none of the others ever waits so long. */
const MAX_WAIT_MS = 31_000;

interface Case {
  readonly seed: number;
  readonly gpus: number;
  /** Callers say this share of the truth, 0.1..3; nothing when 0. */
  readonly honesty: number;
  /** Share of the small work that has its GPU to itself. */
  readonly alone: number;
  /** Of the small work; the other has 3. */
  readonly priority?: Priority;
}

const cases: fc.Arbitrary<Case> = fc.record({
  seed: fc.nat(),
  gpus: fc.integer({ min: 2, max: 4 }),
  honesty: fc.constantFrom(0, 0.1, 0.5, 1, 3),
  alone: fc.constantFrom(0, 0.5, 1),
});

/** How long work on several GPUs waits, ms; Infinity when it is not served within `giveUpMs`. */
function waitOf({ seed, gpus, honesty, alone, priority = 3 }: Case, giveUpMs: number): number {
  const random = seededRandom(seed);
  const world = new World({ maxConcurrentTasksPerGpu: 2, requestTimeoutMs: 0, maxWaitMs: MAX_WAIT_MS });
  world.connect("a", ["a0", "a1", "a2", "a3"]);
  world.connect("b", ["b0", "b1", "b2", "b3"]);
  const takesMs = new Map<string, number>();
  const ends: { readonly id: string; readonly atMs: number }[] = [];
  let small = 0;
  const hear = (step: ReturnType<World["step"]>): void => {
    for (const effect of step.effects) {
      if (effect.kind === "dispatch") ends.push({ id: effect.request.spec.requestId, atMs: world.nowMs + (takesMs.get(effect.request.spec.requestId) ?? 0) });
    }
  };
  const fill = (): void => {
    while (world.engine.state.queue.size < BACKLOG) {
      const id = `small-${(small += 1)}`;
      const ms = Math.ceil(random() * LONGEST_MS);
      takesMs.set(id, ms);
      hear(world.submit(id, { type: random() < alone ? "training" : "render", priority, requirements: { expectedDurationMs: Math.ceil(ms * honesty) } }));
    }
  };
  fill();
  const sinceMs = world.nowMs;
  hear(world.submit("large", { type: "training", wishes: wishes({ gpus }) }));
  while (world.nowMs - sinceMs < giveUpMs) {
    if (world.request("large").phase !== "queued") return world.nowMs - sinceMs;
    ends.sort((a, b) => a.atMs - b.atMs);
    const untilMs = world.nowMs + TICK_MS;
    while (ends[0] && ends[0].atMs <= untilMs) {
      const { id, atMs } = ends.shift()!;
      world.nowMs = Math.max(world.nowMs, atMs);
      if (world.request(id).phase === "placed") world.start(id);
      hear(world.end(id, "succeeded", { statistics: { runMs: takesMs.get(id)!, firstOutputMs: 0, inputTokens: 0, outputTokens: 0, peakMemoryMib: 0 } }));
      fill();
    }
    world.nowMs = untilMs;
    hear(world.step({ kind: "tick" }));
  }
  return Number.POSITIVE_INFINITY;
}

describe("work on several GPUs among small work without end", () => {
  // GPUs are kept for it from the time when those that run there are said to end; what was let in before by a wrong estimate may then take
  // as long as the longest, once.
  const boundMs = ({ honesty }: Pick<Case, "honesty">): number => (1 + Math.max(2, honesty)) * LONGEST_MS;

  test("is served within a bound", () => {
    fc.assert(
      fc.property(cases, (one) => {
        expect(waitOf(one, 2 * boundMs(one))).toBeLessThanOrEqual(boundMs(one));
      }),
      { numRuns: 100 },
    );
  }, 60_000);

  test("is served within a bound after four times the longest wait though all of them come before it and have what is their share", () => {
    const before = cases.map((one): Case => ({ ...one, alone: 1, priority: 5 }));
    fc.assert(
      fc.property(before, (one) => {
        expect(waitOf(one, 5 * MAX_WAIT_MS + 2 * boundMs(one))).toBeLessThanOrEqual(4 * MAX_WAIT_MS + boundMs(one));
      }),
      { numRuns: 20 },
    );
  }, 60_000);

  test("would starve without GPUs kept for it", () => {
    const settle = Reserver.prototype.settle;
    Reserver.prototype.settle = () => false;
    try {
      const one = { gpus: 4, honesty: 1, alone: 0.5 };
      const waits = [1, 2, 3, 4, 5].map((seed) => waitOf({ ...one, seed }, 10 * boundMs(one)));
      expect(Math.max(...waits)).toBeGreaterThan(5 * boundMs(one));
    } finally {
      Reserver.prototype.settle = settle;
    }
  }, 60_000);
});

interface Crowd {
  readonly seed: number;
  readonly gpus: number;
}

/** GPUs with promised work of all priorities without end. */
class Crowded {
  readonly world: World;
  readonly #random: () => number;
  readonly #gpus: number;
  #ends: { readonly id: string; readonly atMs: number }[] = [];
  #count = 0;
  #others = 0;

  constructor({ seed, gpus }: Crowd) {
    this.#random = seededRandom(seed);
    this.#gpus = gpus;
    this.world = new World({ strategy: "hybrid", requestTimeoutMs: 0, maxWaitMs: MAX_WAIT_MS });
    this.world.connect("a", Array.from({ length: gpus }, (_, gpu) => `a${gpu}`));
    for (let gpu = 0; gpu < gpus; gpu += 1) this.world.engine.state.fleet.work.kvCapacityTokens[gpu] = 20_000;
    this.#fill();
    for (let warm = 0; warm < 50; warm += 1) this.turn();
  }

  /** Somebody beside them. */
  submit(...[id, over]: Parameters<World["submit"]>): void {
    this.#others += 1;
    this.#hear(this.world.submit(id, over));
  }

  /** A tick, with what ends before it. */
  turn(): void {
    const { world } = this;
    this.#ends.sort((a, b) => a.atMs - b.atMs);
    const untilMs = world.nowMs + TICK_MS;
    while (this.#ends[0] && this.#ends[0].atMs <= untilMs) {
      const { id, atMs } = this.#ends.shift()!;
      world.nowMs = Math.max(world.nowMs, atMs);
      if (!world.isLive(id)) continue;
      if (world.request(id).phase === "placed") world.start(id);
      this.#hear(world.end(id));
      this.#fill();
    }
    world.nowMs = untilMs;
    this.#hear(world.step({ kind: "tick" }));
    this.#fill();
  }

  #fill(): void {
    while (this.world.engine.state.queue.size < this.#others + this.#gpus * BACKLOG) {
      const tokens = { inputTokens: 100 + Math.floor(this.#random() * 2_000), outputTokens: 50 + Math.floor(this.#random() * 400) };
      this.#hear(this.world.submit(`promised-${(this.#count += 1)}`, { priority: (2 + Math.floor(this.#random() * 4)) as Priority, requirements: tokens, wishes: wishes({ firstOutputMs: 5_000, totalMs: 30_000, whenLate: "fail" }) }));
    }
  }

  #hear(step: ReturnType<World["step"]>): void {
    for (const effect of step.effects) if (effect.kind === "dispatch") this.#ends.push({ id: effect.request.spec.requestId, atMs: this.world.nowMs + 1_000 + Math.ceil(this.#random() * LONGEST_MS) });
  }
}

/** How long work without a promise waits beyond `maxWaitMs` among promised work of all priorities without end, ms; Infinity when it is not served within a minute. */
function overdueFor(crowd: Crowd): number {
  const crowded = new Crowded(crowd);
  const { world } = crowded;
  const dueMs = world.nowMs + MAX_WAIT_MS;
  crowded.submit("batch", { priority: 1, type: "batch", requirements: { inputTokens: 14_000, outputTokens: 1_000 } });
  while (world.nowMs < dueMs + 60_000) {
    if (world.request("batch").phase !== "queued") return world.nowMs - dueMs;
    crowded.turn();
  }
  return Number.POSITIVE_INFINITY;
}

describe("work without a promise among promised work without end", () => {
  const crowds = fc.record({ seed: fc.nat(), gpus: fc.integer({ min: 1, max: 4 }) });

  test("is served soon after it has waited too long", () => {
    fc.assert(
      fc.property(crowds, (crowd) => {
        expect(overdueFor(crowd)).toBeLessThanOrEqual(LONGEST_MS + 1_000 + 2 * TICK_MS);
      }),
      { numRuns: 30 },
    );
  });

  test("would starve without room kept for it", () => {
    const keepRoom = Reserver.prototype.keepRoom;
    Reserver.prototype.keepRoom = () => undefined;
    try {
      expect([1, 2, 3].map((seed) => overdueFor({ seed, gpus: 2 }))).toContain(Number.POSITIVE_INFINITY);
    } finally {
      Reserver.prototype.keepRoom = keepRoom;
    }
  });
});

const JOBS = 12;

interface Backlog extends Crowd {
  /** The jobs want one GPU each, but for one among them, which wants so many. */
  readonly largest: number;
}

/** The most GPUs that a backlog of jobs holds which have them to themselves, and when the last of them begins, ms after the first might. */
function backlogOf({ largest, ...crowd }: Backlog): { readonly mostGpus: number; readonly lastAfterMs: number } {
  const crowded = new Crowded(crowd);
  const { world } = crowded;
  const { fleet } = world.engine.state;
  const dueMs = world.nowMs + MAX_WAIT_MS;
  const jobs = Array.from({ length: JOBS }, (_, job) => `job-${job}`);
  for (const [place, job] of jobs.entries()) crowded.submit(job, { priority: 1, type: "training", wishes: wishes({ gpus: place === JOBS / 2 ? largest : 1 }) });
  let mostGpus = 0;
  const waits = (job: string): boolean => world.isLive(job) && world.request(job).phase === "queued";
  while (jobs.some(waits) && world.nowMs < dueMs + JOBS * 60_000) {
    crowded.turn();
    mostGpus = Math.max(mostGpus, fleet.exclusive.filter((count) => count > 0).length);
  }
  return { mostGpus, lastAfterMs: jobs.some(waits) ? Number.POSITIVE_INFINITY : world.nowMs - dueMs };
}

describe("a backlog of jobs on whole GPUs among promised work without end", () => {
  const backlogs = fc.integer({ min: 1, max: 12 }).chain((gpus) => fc.record({ seed: fc.nat(), gpus: fc.constant(gpus), largest: fc.integer({ min: 1, max: gpus }) }));
  // Each waits for its GPUs to run empty, which takes as long as the longest, and then runs as long as that; and as many go at a time as there
  // are GPUs for them. A large one waits alone for what is there when it comes to its turn.
  const boundMs = (share: number): number => (Math.ceil(JOBS / share) + 2) * (2 * LONGEST_MS + 3_000);

  test("is worked off on a quarter of them, and pushes nobody from the others", () => {
    fc.assert(
      fc.property(backlogs, (backlog) => {
        const share = Math.max(1, Math.ceil(backlog.gpus / 4));
        const { mostGpus, lastAfterMs } = backlogOf(backlog);
        expect(mostGpus).toBeLessThanOrEqual(share - 1 + Math.max(1, backlog.largest));
        expect(lastAfterMs).toBeLessThanOrEqual(boundMs(share));
      }),
      { numRuns: 10 },
    );
  }, 60_000);
});
