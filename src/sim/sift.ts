// Finds the few of many policies that carry most, asking little: all are tried at one load, those that carry it at the next, and so on.
// comparison.ts takes the finalists from here; how much each of them carries to the last per cent is searched afterwards.
import { nearestLoad } from "./goodput.js";

/** Loads of the sieve: each a quarter above the one before, as wide as the first jump of a search. */
const RUNG = 1.27;
const LEAST_LOAD = 0.02;
const MOST_LOAD = 200;

export interface Sifted<P> {
  readonly policy: P;
  /** The largest load of the sieve that it carried; 0 when none of those that were tried. */
  readonly load: number;
  /** How near it came to the goal at the smallest load that it did not carry; 0 when there was none. */
  readonly margin: number;
}

export interface SiftOptions {
  readonly finalists: number;
  /** Where to begin. */
  readonly guess: number;
}

/**
 * All candidates, best first; who is told apart by nothing stays in the order given. `marginOf` says how near a policy comes to its goal at
 * a load: 1 and more is carried. Those that are not among the best are ranked roughly.
 */
export async function sift<P>(candidates: readonly P[], marginOf: (policy: P, load: number) => Promise<number>, { finalists, guess }: SiftOptions): Promise<Sifted<P>[]> {
  const found = new Map<P, { load: number; margin: number }>(candidates.map((policy) => [policy, { load: 0, margin: 0 }]));
  const carriedBy = async (field: readonly P[], load: number): Promise<{ readonly carried: P[]; readonly failed: P[] }> => {
    const margins = await Promise.all(field.map((policy) => marginOf(policy, load)));
    const carried: P[] = [];
    const failed: P[] = [];
    field.forEach((policy, place) => {
      const holds = margins[place]! >= 1;
      (holds ? carried : failed).push(policy);
      const known = found.get(policy)!;
      if (holds) found.set(policy, { ...known, load: Math.max(known.load, load) });
      else found.set(policy, { ...known, margin: margins[place]! });
    });
    return { carried, failed };
  };

  const first = await carriedBy(candidates, nearestLoad(guess));
  let above = first.carried;
  for (let load = guess * RUNG; above.length > finalists && load < MOST_LOAD; load *= RUNG) above = (await carriedBy(above, nearestLoad(load))).carried;
  let below = first.failed;
  const enough = (): boolean => candidates.length - below.length >= Math.min(finalists, candidates.length);
  for (let load = guess / RUNG; !enough() && load > LEAST_LOAD; load /= RUNG) below = (await carriedBy(below, nearestLoad(load))).failed;
  return candidates.map((policy) => ({ policy, ...found.get(policy)! })).toSorted((a, b) => b.load - a.load || b.margin - a.margin);
}
