// Filter -> score -> pick. Called by the engine for each request that might be placed, and by Explain; changes nothing.
import { seededRandom } from "../../lib/random.js";
import type { Fleet } from "../fleet/fleet.js";
import type { Candidate, Decision, FilterCount } from "../model/decision.js";
import type { CoreSettings } from "../settings.js";
import type { Ask, RequestFilter } from "./contract.js";
import { requestFilters, strategies } from "./registry.js";
import { StrategyScore } from "./strategy-score.js";

/** Scores within this share of the best count as equal. */
const TIE_SHARE = 0.001;
const RUNNERS_UP = 3;

/** A choice: the GPU's index, or -1, and how it came about. */
export interface Choice {
  readonly gpu: number;
  readonly decision: Decision;
}

export class Scheduler {
  readonly #requestFilters: readonly RequestFilter[];
  readonly #strategies: ReadonlyMap<string, StrategyScore>;
  readonly #defaultStrategy: StrategyScore;
  // Scratch space, reused so that a decision allocates nothing per GPU.
  #candidates = new Int32Array(64);
  #totals = new Float64Array(64);
  #near = new Int32Array(64);
  readonly #blockedCounts: Int32Array;

  /** Throws when settings name an unknown strategy or weight. */
  constructor(settings: CoreSettings, stateFilterCount: number) {
    this.#requestFilters = requestFilters(settings);
    this.#strategies = new Map(strategies(settings).map((strategy) => [strategy.name, new StrategyScore(strategy)]));
    const strategy = this.#strategies.get(settings.strategy);
    if (!strategy) throw new RangeError(`Unknown strategy "${settings.strategy}": use ${this.strategyNames.join(", ")}.`);
    this.#defaultStrategy = strategy;
    this.#blockedCounts = new Int32Array(stateFilterCount);
  }

  get strategyNames(): readonly string[] {
    return [...this.#strategies.keys()];
  }

  hasStrategy(name: string): boolean {
    return name === "" || this.#strategies.has(name);
  }

  /**
   * Chooses among all GPUs, or only among `among`. `seed` decides ties, `nowMs` only dates the telemetry.
   * Cost: about 6 µs at 1,000 GPUs.
   */
  choose(fleet: Fleet, ask: Ask, seed: number, nowMs: number, among?: Iterable<number>): Choice {
    const filters: FilterCount[] = [];
    let count = this.#unblocked(fleet, filters, among);
    const considered = count + filters.reduce((sum, filter) => sum + filter.removed, 0);
    const candidates = this.#candidates;
    for (const filter of this.#requestFilters) {
      if (count === 0) break;
      if (!filter.applies(ask)) continue;
      const kept = filter.keep(fleet, ask, candidates, count);
      if (kept < count) filters.push({ filter: filter.name, removed: count - kept, needed: filter.needed(ask) });
      count = kept;
    }
    const strategy = this.#strategies.get(ask.spec.strategy) ?? this.#defaultStrategy;
    const base = { strategy: strategy.name, considered, filters, seed, estimate: ask.estimate };
    if (count === 0) return { gpu: -1, decision: { ...base, candidates: [] } };

    const totals = this.#totals;
    strategy.score(fleet, ask, candidates, count, totals);
    const ranked = this.#pick(count, seed);
    const describe = (k: number): Candidate => describeCandidate(fleet, ask, strategy, candidates[k]!, totals[k]!, nowMs);
    return { gpu: candidates[ranked[0]!]!, decision: { ...base, candidates: ranked.map(describe) } };
  }

  /** First pass: drops what any state filter blocks, counting each GPU under the first filter that does. */
  #unblocked(fleet: Fleet, filters: FilterCount[], among?: Iterable<number>): number {
    if (this.#candidates.length < fleet.size) {
      this.#candidates = new Int32Array(fleet.active.length);
      this.#totals = new Float64Array(fleet.active.length);
      this.#near = new Int32Array(fleet.active.length);
    }
    const candidates = this.#candidates;
    const counts = this.#blockedCounts.fill(0);
    const blocked = fleet.blocked;
    let count = 0;
    if (among) {
      for (const gpu of among) {
        if (blocked[gpu] === 0) candidates[count++] = gpu;
        else counts[firstBit(blocked[gpu]!)]! += 1;
      }
    } else {
      const size = fleet.size;
      for (let gpu = 0; gpu < size; gpu += 1) {
        if (blocked[gpu] === 0) candidates[count++] = gpu;
        else counts[firstBit(blocked[gpu]!)]! += 1;
      }
    }
    for (let bit = 0; bit < counts.length; bit += 1) {
      const filter = fleet.stateFilters[bit]!;
      if (counts[bit]! > 0) filters.push({ filter: filter.name, removed: counts[bit]!, needed: filter.needed });
    }
    return count;
  }

  /**
   * Places (indexes into the scratch columns) of the choice and up to three runners-up, best first. One pass: what is neither
   * among the best four nor within a tie of the best so far is skipped by one comparison.
   */
  #pick(count: number, seed: number): number[] {
    const totals = this.#totals;
    const near = this.#near;
    const top: number[] = [];
    let nearCount = 0;
    let floor = Number.NEGATIVE_INFINITY;
    for (let k = 0; k < count; k += 1) {
      const total = totals[k]!;
      if (total < floor) continue;
      near[nearCount++] = k;
      if (top.length > RUNNERS_UP && total <= totals[top[RUNNERS_UP]!]!) continue;
      let place = top.length;
      while (place > 0 && totals[top[place - 1]!]! < total) place -= 1;
      top.splice(place, 0, k);
      if (top.length <= RUNNERS_UP) continue;
      top.length = RUNNERS_UP + 1;
      floor = Math.min(totals[top[RUNNERS_UP]!]!, totals[top[0]!]! * (1 - TIE_SHARE));
    }
    const bound = totals[top[0]!]! * (1 - TIE_SHARE);
    let tied = 0;
    for (let n = 0; n < nearCount; n += 1) if (totals[near[n]!]! >= bound) near[tied++] = near[n]!;
    const chosen = near[Math.floor(seededRandom(seed)() * tied)]!;
    return [chosen, ...top.filter((k) => k !== chosen).slice(0, RUNNERS_UP)];
  }
}

function firstBit(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}

function describeCandidate(fleet: Fleet, ask: Ask, strategy: StrategyScore, gpu: number, score: number, nowMs: number): Candidate {
  const sampledAtMs = fleet.sampleAtMs[gpu]!;
  return {
    gpuId: fleet.inventory[gpu]!.gpuId,
    score,
    terms: strategy.terms(fleet, ask, gpu),
    telemetryAgeMs: sampledAtMs === 0 ? -1 : Math.max(0, nowMs - sampledAtMs),
  };
}
