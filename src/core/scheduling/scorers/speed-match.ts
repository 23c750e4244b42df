import type { RequestScorer } from "../contract.js";

/**
 * Fast GPUs for urgent work, slow ones for what can wait: 1 minus the distance between the GPU's speed, as a share of the fleet's
 * fastest, and the priority's place between 1 and 5. The same everywhere when all GPUs are of one kind.
 */
export const speedMatch: RequestScorer = {
  name: "speed_match",
  value: (fleet, ask, gpu) => 1 - Math.abs(fleet.outcomes.relativeSpeed[gpu]! / fleet.outcomes.fastest - (ask.spec.priority - 1) / 4),
  add(fleet, ask, candidates, count, weight, totals) {
    const { relativeSpeed, fastest } = fleet.outcomes;
    const place = (ask.spec.priority - 1) / 4;
    for (let k = 0; k < count; k += 1) totals[k]! += weight * (1 - Math.abs(relativeSpeed[candidates[k]!]! / fastest - place));
  },
};
