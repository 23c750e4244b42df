import type { RequestScorer } from "../contract.js";

/**
 * llm-d's queue scorer: 1 for the fewest requests among the candidates, 0 for the most, in proportion between; 1 when all are equal.
 * Relative to the candidates of the last `add`, so one is made for each strategy.
 */
export function queue(): RequestScorer {
  let fewest = 0;
  let most = 0;
  const share = (active: number): number => (most > fewest ? (most - active) / (most - fewest) : 1);
  return {
    name: "queue",
    value: (fleet, _ask, gpu) => share(fleet.active[gpu]!),
    add(fleet, _ask, candidates, count, weight, totals) {
      const { active } = fleet;
      fewest = Number.POSITIVE_INFINITY;
      most = 0;
      for (let k = 0; k < count; k += 1) {
        const requests = active[candidates[k]!]!;
        if (requests < fewest) fewest = requests;
        if (requests > most) most = requests;
      }
      for (let k = 0; k < count; k += 1) totals[k]! += weight * share(active[candidates[k]!]!);
    },
  };
}
