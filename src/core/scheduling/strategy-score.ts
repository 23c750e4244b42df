// A strategy at work: its state terms summed into one column per request type that follows the fleet, the others added per request.
import type { Fleet } from "../fleet/fleet.js";
import type { ScorerWeight } from "../model/decision.js";
import type { Ask, RequestFilter, RequestScorer, Scorer, ShiftingScorer, StateScorer, Strategy, UniformScorer } from "./contract.js";

interface Weighted<S extends Scorer> {
  readonly scorer: S;
  readonly weight: number;
}

/** Scores within this share of the best count as equal. */
const TIE_SHARE = 0.001;
/** Bound on request types with a column; above it they start anew. */
const MAX_COLUMNS = 16;

interface Column {
  readonly sums: Float64Array;
  /** The fleet's change sequence that the sums belong to. */
  seenSequence: number;
}

export class StrategyScore {
  readonly name: string;
  readonly tieShare: number;
  readonly sample: Strategy["sample"];
  readonly tooLate: NonNullable<Strategy["tooLate"]>;
  /** Those of every strategy, its own, and those that come last. */
  readonly filters: readonly RequestFilter[];
  readonly #scorers: Strategy["scorers"];
  /** null when some follow the fleet. */
  readonly #fixedWeights: readonly ScorerWeight[] | null;
  readonly #ofState: Weighted<StateScorer>[] = [];
  readonly #ofRequest: Weighted<RequestScorer>[] = [];
  readonly #shifting: ShiftingScorer[] = [];
  readonly #uniform: Weighted<UniformScorer>[] = [];
  readonly #columns = new Map<string, Column>();

  constructor(strategy: Strategy, commonFilters: readonly RequestFilter[], lastFilters: readonly RequestFilter[] = []) {
    this.name = strategy.name;
    this.tieShare = strategy.tieShare ?? TIE_SHARE;
    this.sample = strategy.sample;
    this.tooLate = strategy.tooLate ?? never;
    this.filters = [...commonFilters, ...(strategy.filters ?? []), ...lastFilters];
    this.#scorers = strategy.scorers;
    const weights: ScorerWeight[] = [];
    for (const term of strategy.scorers) {
      if ("weightNow" in term) {
        this.#shifting.push(term);
        continue;
      }
      const { scorer, weight } = term;
      weights.push({ scorer: scorer.name, weight });
      if ("add" in scorer) this.#ofRequest.push({ scorer, weight });
      else if ("valueForAll" in scorer) this.#uniform.push({ scorer, weight });
      else this.#ofState.push({ scorer, weight });
    }
    this.#fixedWeights = this.#shifting.length > 0 ? null : weights;
  }

  /** Its terms with their weights as they are now. */
  weights(fleet: Fleet): readonly ScorerWeight[] {
    return this.#fixedWeights ?? this.#scorers.map((term) => ({ scorer: term.scorer.name, weight: "weightNow" in term ? term.weightNow(fleet) : term.weight }));
  }

  /** Writes the score of `candidates[k]` to `totals[k]`, for k below `count`. */
  score(fleet: Fleet, ask: Ask, candidates: Int32Array, count: number, totals: Float64Array): void {
    const column = this.#follow(fleet, ask.spec.type);
    let base = 0;
    for (const { scorer, weight } of this.#uniform) base += weight * scorer.valueForAll(ask);
    for (let k = 0; k < count; k += 1) totals[k] = base + column[candidates[k]!]!;
    for (const { scorer, weight } of this.#ofRequest) scorer.add(fleet, ask, candidates, count, weight, totals);
    for (const { scorer, weightNow } of this.#shifting) scorer.add(fleet, ask, candidates, count, weightNow(fleet), totals);
  }

  /** What each term says of one GPU, in their order. */
  values(fleet: Fleet, ask: Ask, gpu: number): number[] {
    return this.#scorers.map(({ scorer }) => valueOf(scorer, fleet, ask, gpu));
  }

  /** The sum of the state terms of every GPU for a request type; evaluates those that changed since the last call. */
  #follow(fleet: Fleet, type: string): Float64Array {
    let column = this.#columns.get(type);
    if (!column || column.sums.length < fleet.size) {
      if (this.#columns.size >= MAX_COLUMNS) this.#columns.clear();
      column = { sums: new Float64Array(fleet.active.length), seenSequence: 0 };
      this.#columns.set(type, column);
    }
    const { sums, seenSequence } = column;
    if (seenSequence === fleet.changeSequence) return sums;
    fleet.eachChangedSince(seenSequence, (gpu) => {
      let sum = 0;
      for (const { scorer, weight } of this.#ofState) sum += weight * scorer.value(fleet, gpu, type);
      sums[gpu] = sum;
    });
    column.seenSequence = fleet.changeSequence;
    return sums;
  }
}

function never(): boolean {
  return false;
}

function valueOf(scorer: Scorer, fleet: Fleet, ask: Ask, gpu: number): number {
  if ("add" in scorer) return scorer.value(fleet, ask, gpu);
  return "valueForAll" in scorer ? scorer.valueForAll(ask) : scorer.value(fleet, gpu, ask.spec.type);
}
