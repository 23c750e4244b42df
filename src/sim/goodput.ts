// Goodput: the largest multiple of a scenario's load that a policy carries within the SLO. Searched on pooled seeds; knows nothing of how a
// load is simulated, so that tests search a made-up curve.
import { attainmentOf, completionOf, worstUser, type Measures } from "./measure.js";
import { lastThatHolds } from "./step-search.js";

/** What it means to carry a load. All are shares, 0..1. */
export interface Goal {
  /** Of all requests with an SLO, within it. */
  readonly attainment: number;
  /** Of each user's. */
  readonly worstUser: number;
  /** Of the work without an SLO, done by the end of the drain. */
  readonly batchCompletion: number;
}

export const DEFAULT_GOAL: Goal = { attainment: 0.95, worstUser: 0.9, batchCompletion: 0.9 };

/** How near a load came to being carried: the least of what was reached, as shares of the goal. From 1 on it was. */
export function margin(measures: Measures, goal: Goal): number {
  return Math.min(attainmentOf(measures.interactive) / goal.attainment, (worstUser(measures)?.attainment ?? 1) / goal.worstUser, completionOf(measures.batch) / goal.batchCompletion);
}

/** Whether a load was carried. */
export function meets(measures: Measures, goal: Goal): boolean {
  return margin(measures, goal) >= 1;
}

export interface Goodput {
  /** 0 when not even the smallest load was carried. */
  readonly load: number;
  /** At that load; null when there is none. */
  readonly measures: Measures | null;
  /** All loads that were tried, rising. */
  readonly tried: readonly { readonly load: number; readonly measures: Measures | null }[];
}

/** Loads are powers of this: goodput is known to 3 %. */
export const LOAD_STEP = 1.03;
const LEAST = stepOf(0.02);
const MOST = stepOf(200);
/** Steps of the first jump: a quarter more or less. */
const STRIDE = 8;

/**
 * The largest load that meets the goal. `measure` simulates a load (null: the fleet cannot hold the models); each is asked once. Attainment
 * is taken to fall with load; where it does not, this is one of the places where it crosses the goal.
 */
export async function goodput(measure: (load: number) => Promise<Measures | null>, goal: Goal, guess: number): Promise<Goodput> {
  const tried = new Map<number, Measures | null>();
  const holds = async (step: number): Promise<boolean> => {
    const measures = await measure(loadOf(step));
    tried.set(step, measures);
    return measures !== null && meets(measures, goal);
  };
  const best = await lastThatHolds(holds, { from: stepOf(guess), least: LEAST, most: MOST, stride: STRIDE });
  return {
    load: best === null ? 0 : loadOf(best),
    measures: best === null ? null : (tried.get(best) ?? null),
    tried: [...tried].toSorted(([one], [other]) => one - other).map(([step, measures]) => ({ load: loadOf(step), measures })),
  };
}

/** The nearest load that a search may try. */
export function nearestLoad(load: number): number {
  return loadOf(stepOf(load));
}

function stepOf(load: number): number {
  return Math.round(Math.log(load) / Math.log(LOAD_STEP));
}

function loadOf(step: number): number {
  return Number((LOAD_STEP ** step).toPrecision(4));
}
