// Filter -> score -> pick. Called by the engine for each request that might be placed, and by Explain; changes nothing.
import { seededRandom } from "../../lib/random.js";
import type { Fleet } from "../fleet/fleet.js";
import type { Candidate, Decision, FilterCount, ResourceEstimate } from "../model/decision.js";
import type { CoreSettings } from "../settings.js";
import type { Ask, RequestFilter } from "./contract.js";
import { teamsOf } from "./filters/gang.js";
import { lastFilters, requestFilters, strategies } from "./registry.js";
import { shortfalls } from "./shortfalls.js";
import { StrategyScore } from "./strategy-score.js";

/** The choice and three runners-up are described. */
const DESCRIBED = 4;

/** A choice and how it came about. */
export interface Choice {
  /** Index of the best. */
  readonly gpu: number;
  /** All of them, of one node, best first: as many as were asked for. */
  readonly gpus: readonly number[];
  readonly decision: Decision;
}

export class Scheduler {
  readonly #strategies: ReadonlyMap<string, StrategyScore>;
  readonly #defaultStrategy: StrategyScore;
  // Scratch space, reused so that a decision allocates nothing per GPU.
  #candidates = new Int32Array(64);
  #totals = new Float64Array(64);
  #near = new Int32Array(64);
  readonly #top = new Int32Array(DESCRIBED);
  /** GPUs that each filter removed, state filters first. */
  readonly #removed: Int32Array;
  readonly #stateFilterCount: number;
  #healsWithTime = false;
  #refusedForSize = false;
  #refusedBy: RequestFilter | null = null;

  /** Throws when settings name an unknown strategy or weight. */
  constructor(settings: CoreSettings, stateFilterCount: number) {
    const common = requestFilters(settings);
    this.#strategies = new Map(strategies(settings).map((strategy) => [strategy.name, new StrategyScore(strategy, common, lastFilters)]));
    const strategy = this.#strategies.get(settings.strategy);
    if (!strategy) throw new RangeError(`Unknown strategy "${settings.strategy}": use ${this.strategyNames.join(", ")}.`);
    this.#defaultStrategy = strategy;
    this.#stateFilterCount = stateFilterCount;
    this.#removed = new Int32Array(stateFilterCount + Math.max(...[...this.#strategies.values()].map(({ filters }) => filters.length)));
  }

  get strategyNames(): readonly string[] {
    return [...this.#strategies.keys()];
  }

  hasStrategy(name: string): boolean {
    return name === "" || this.#strategies.has(name);
  }

  /** Chooses among all GPUs, or only among `among`; null when none fits. Cost: about 6 µs at 1,000 GPUs. */
  choose(fleet: Fleet, ask: Ask, among?: readonly number[]): Choice | null {
    const count = this.#filter(fleet, ask, among);
    return count === 0 ? null : this.#decide(fleet, ask, count);
  }

  /** The decision that `choose` makes, or why there is none and what is lacking. */
  explain(fleet: Fleet, ask: Ask): Decision {
    const count = this.#filter(fleet, ask);
    if (count > 0) return this.#decide(fleet, ask, count).decision;
    const decision = this.#describe(fleet, ask, count, []);
    const unblocked = Array.from({ length: fleet.size }, (_, gpu) => gpu).filter((gpu) => fleet.blocked[gpu] === 0);
    const lacking = shortfalls(fleet, ask, this.#strategyOf(ask).filters, unblocked);
    return { ...decision, filters: decision.filters.map((each) => ({ ...each, needed: [each.needed, lacking.get(each.filter) ?? ""].filter((text) => text !== "").join("; ") })) };
  }

  /** Whether no GPU of the fleet can take this, not even when all are idle: only a new GPU or runner helps. */
  hopeless(fleet: Fleet, ask: Ask): boolean {
    return this.#strategyOf(ask).filters.some((filter) => filter.applies(ask) && !filter.everPasses(fleet, ask));
  }

  /** GPUs that could take it if they held none of our requests, of nodes that have enough of them. In the order of their indexes. */
  eligible(fleet: Fleet, ask: Ask): readonly number[] {
    const mask = fleet.outOfServiceMask;
    const candidates = Int32Array.from({ length: fleet.size }, (_, gpu) => gpu).filter((gpu) => (fleet.blocked[gpu]! & mask) === 0);
    let count = candidates.length;
    for (const filter of this.#strategyOf(ask).filters) {
      if (count === 0 || !filter.applies(ask)) continue;
      count = filter.keepWhenIdle ? filter.keepWhenIdle(fleet, ask, candidates, count) : filter.keep(fleet, ask, candidates, count);
    }
    return [...candidates.subarray(0, count)];
  }

  /** Whether it can no longer be in time, whatever it is given. */
  tooLate(fleet: Fleet, ask: Ask): boolean {
    return this.#strategyOf(ask).tooLate(fleet, ask);
  }

  /** Whether what was last refused may fit later without any GPU changing. */
  get healsWithTime(): boolean {
    return this.#healsWithTime;
  }

  /** Whether what was last refused may fit with another size or deadline. */
  get refusedForSize(): boolean {
    return this.#refusedForSize;
  }

  /** The filter that left nothing of what was last refused; null when nothing came as far as filters of requests. */
  get refusedBy(): RequestFilter | null {
    return this.#refusedBy;
  }

  #decide(fleet: Fleet, ask: Ask, passed: number): Choice {
    const candidates = this.#candidates;
    const totals = this.#totals;
    const strategy = this.#strategyOf(ask);
    // A draw of a few GPUs would seldom hold a node's worth of them.
    const count = strategy.sample && ask.gpus === 1 ? strategy.sample(ask, candidates, passed) : passed;
    strategy.score(fleet, ask, candidates, count, totals);
    const ranked = ask.gpus > 1 ? this.#pickTeam(fleet, ask, count, strategy.tieShare) : this.#pick(count, ask.seed, strategy.tieShare);
    const described = ranked.map((k) => describeCandidate(fleet, ask, strategy, candidates[k]!, totals[k]!));
    const gpus = ranked.slice(0, ask.gpus).map((k) => candidates[k]!);
    return { gpu: gpus[0]!, gpus, decision: this.#describe(fleet, ask, passed, described) };
  }

  /**
   * Places of the GPUs that work together, best first: of each node the best, of the nodes the one where these sum up to most. A node
   * where the last attempt ended comes after all others.
   */
  #pickTeam(fleet: Fleet, ask: Ask, count: number, tieShare: number): number[] {
    const totals = this.#totals;
    const candidates = this.#candidates;
    const teamOf = teamsOf(fleet, ask);
    const teams = new Map<number, number[]>();
    for (let k = 0; k < count; k += 1) {
      const team = teamOf[candidates[k]!]!;
      const places = teams.get(team);
      if (places) places.push(k);
      else teams.set(team, [k]);
    }
    const avoided = ask.avoidGpuId === "" ? -1 : fleet.indexOf(ask.avoidGpuId);
    if (teams.size > 1 && avoided >= 0) teams.delete(teamOf[avoided]!);
    let best = Number.NEGATIVE_INFINITY;
    const sums: { readonly places: readonly number[]; readonly sum: number }[] = [];
    for (const all of teams.values()) {
      const places = all.sort((a, b) => totals[b]! - totals[a]! || candidates[a]! - candidates[b]!).slice(0, ask.gpus);
      const sum = places.reduce((so, k) => so + totals[k]!, 0);
      best = Math.max(best, sum);
      sums.push({ places, sum });
    }
    const tied = sums.filter(({ sum }) => sum >= tieBound(best, tieShare));
    return [...tied[Math.floor(seededRandom(ask.seed)() * tied.length)]!.places];
  }

  #describe(fleet: Fleet, ask: Ask, count: number, candidates: readonly Candidate[]): Decision {
    const strategy = this.#strategyOf(ask);
    const { name, filters: ofRequests } = strategy;
    const filters: FilterCount[] = [];
    let considered = count;
    for (let filter = 0; filter < this.#removed.length; filter += 1) {
      const removed = this.#removed[filter]!;
      if (removed === 0) continue;
      considered += removed;
      const ofState = fleet.stateFilters[filter];
      const ofRequest = ofRequests[filter - this.#stateFilterCount];
      if (ofState) filters.push({ filter: ofState.name, removed, needed: ofState.needed });
      else if (ofRequest) filters.push({ filter: ofRequest.name, removed, needed: ofRequest.needed(ask) });
    }
    return { strategy: name, considered, filters, scorers: strategy.weights(fleet), candidates, seed: ask.seed, estimate: ask.spread === 1 ? ask.estimate : withP90(ask) };
  }

  #strategyOf(ask: Ask): StrategyScore {
    return ask.spec.strategy === "" ? this.#defaultStrategy : (this.#strategies.get(ask.spec.strategy) ?? this.#defaultStrategy);
  }

  /** Leaves the GPUs that pass every filter at the front of the candidates and returns how many they are. */
  #filter(fleet: Fleet, ask: Ask, among?: readonly number[]): number {
    const removed = this.#removed.fill(0);
    let count = this.#unblocked(fleet, removed, among);
    this.#healsWithTime = false;
    this.#refusedForSize = false;
    this.#refusedBy = null;
    const { filters } = this.#strategyOf(ask);
    for (let filter = 0; filter < filters.length && count > 0; filter += 1) {
      if (!filters[filter]!.applies(ask)) continue;
      const kept = filters[filter]!.keep(fleet, ask, this.#candidates, count);
      removed[this.#stateFilterCount + filter] = count - kept;
      if (kept < count && filters[filter]!.healsWithTime) this.#healsWithTime = true;
      if (kept < count && filters[filter]!.bySize) this.#refusedForSize = true;
      if (kept === 0) this.#refusedBy = filters[filter]!;
      count = kept;
    }
    return count;
  }

  /** First pass: drops what any state filter blocks, counting each GPU under the first filter that does. */
  #unblocked(fleet: Fleet, removed: Int32Array, among?: readonly number[]): number {
    if (this.#candidates.length < fleet.size) {
      this.#candidates = new Int32Array(fleet.active.length);
      this.#totals = new Float64Array(fleet.active.length);
      this.#near = new Int32Array(fleet.active.length);
    }
    const candidates = this.#candidates;
    const { blocked } = fleet;
    const size = among ? among.length : fleet.size;
    let count = 0;
    for (let place = 0; place < size; place += 1) {
      const gpu = among ? among[place]! : place;
      if (blocked[gpu] === 0) candidates[count++] = gpu;
      else removed[firstBit(blocked[gpu]!)]! += 1;
    }
    return count;
  }

  /**
   * Places (indexes into the scratch columns) of the choice and the runners-up, best first. One pass: what is neither among
   * the best few nor within a tie of the best so far is skipped by one comparison.
   */
  #pick(count: number, seed: number, tieShare: number): number[] {
    const totals = this.#totals;
    const near = this.#near;
    const top = this.#top;
    let nearCount = 0;
    let topCount = 0;
    let floor = Number.NEGATIVE_INFINITY;
    let entry = Number.NEGATIVE_INFINITY;
    for (let k = 0; k < count; k += 1) {
      const total = totals[k]!;
      if (total < floor) continue;
      near[nearCount++] = k;
      if (total <= entry) continue;
      let place = topCount < DESCRIBED ? topCount++ : DESCRIBED - 1;
      for (; place > 0 && totals[top[place - 1]!]! < total; place -= 1) top[place] = top[place - 1]!;
      top[place] = k;
      if (topCount < DESCRIBED) continue;
      entry = totals[top[DESCRIBED - 1]!]!;
      floor = Math.min(entry, tieBound(totals[top[0]!]!, tieShare));
    }
    const bound = tieBound(totals[top[0]!]!, tieShare);
    let tied = 0;
    for (let n = 0; n < nearCount; n += 1) if (totals[near[n]!]! >= bound) near[tied++] = near[n]!;
    const ranked = [near[Math.floor(seededRandom(seed)() * tied)]!];
    for (let place = 0; place < topCount && ranked.length < DESCRIBED; place += 1) if (top[place] !== ranked[0]) ranked.push(top[place]!);
    return ranked;
  }
}

/** The estimate with what nine of ten were taken for. */
export function withP90({ estimate, spread }: Pick<Ask, "estimate" | "spread">): ResourceEstimate {
  return { ...estimate, p90Ms: Math.round(estimate.durationMs * spread) };
}

/** What counts as equal to the best; scores in seconds are negative. */
function tieBound(best: number, tieShare: number): number {
  return best - Math.abs(best) * tieShare;
}

function firstBit(mask: number): number {
  return 31 - Math.clz32(mask & -mask);
}

function describeCandidate(fleet: Fleet, ask: Ask, strategy: StrategyScore, gpu: number, score: number): Candidate {
  const sampledAtMs = fleet.sampleAtMs[gpu]!;
  return {
    gpuId: fleet.inventory[gpu]!.gpuId,
    score,
    values: strategy.values(fleet, ask, gpu),
    telemetryAgeMs: sampledAtMs === 0 ? -1 : Math.max(0, ask.nowMs - sampledAtMs),
  };
}
