// Turns configured weights into shares that sum to 1.
import type { Scorer, WeightedScorer } from "./contract.js";

/**
 * Pairs scorers with `weights` by name, normalised by their sum; a scorer without a weight is left out (row R2: a partial
 * set is normalised). Throws when a weight names no scorer, is negative, or when all are zero.
 */
export function weightedScorers(scorers: readonly Scorer[], weights: Readonly<Record<string, number>>): WeightedScorer[] {
  const names = new Set(scorers.map((scorer) => scorer.name));
  for (const [name, weight] of Object.entries(weights)) {
    if (!names.has(name)) throw new RangeError(`Unknown weight "${name}": use ${[...names].join(", ")}.`);
    if (!(weight >= 0 && weight < Number.POSITIVE_INFINITY)) throw new RangeError(`Weight "${name}" must be a finite number of at least 0: it is ${weight}.`);
  }
  const sum = scorers.reduce((total, scorer) => total + (weights[scorer.name] ?? 0), 0);
  if (!(sum > 0)) throw new RangeError(`At least one weight of ${[...names].join(", ")} must be above 0.`);
  return scorers.flatMap((scorer) => {
    const weight = weights[scorer.name] ?? 0;
    return weight > 0 ? [{ scorer, weight: weight / sum }] : [];
  });
}
