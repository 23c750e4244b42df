import type { Fleet } from "../../fleet/fleet.js";
import type { Ask, RequestScorer } from "../contract.js";

/**
 * How closely a GPU is what the request asks for: the mean of asked / had over the capability, the multiprocessors and the memory that
 * it names. 1 for an exact match and for a request that names nothing; small for a GPU that had better be kept for who needs it.
 */
export const capabilityMatch: RequestScorer = {
  name: "capability_match",
  value: match,
  add(fleet, ask, candidates, count, weight, totals) {
    for (let k = 0; k < count; k += 1) totals[k]! += weight * match(fleet, ask, candidates[k]!);
  },
};

function match(fleet: Fleet, ask: Ask, gpu: number): number {
  const { minComputeCapability, computeUnits } = ask.spec.requirements;
  const { memoryMib } = ask.estimate;
  let named = 0;
  let sum = 0;
  if (minComputeCapability > 0) {
    named += 1;
    sum += share(minComputeCapability, fleet.computeCapability[gpu]!);
  }
  if (computeUnits > 0) {
    named += 1;
    sum += share(computeUnits, fleet.multiprocessorCount[gpu]!);
  }
  if (memoryMib > 0) {
    named += 1;
    sum += share(memoryMib, fleet.memoryTotalMib[gpu]!);
  }
  return named === 0 ? 1 : sum / named;
}

/** What a GPU does not tell about itself is no match. */
function share(asked: number, had: number): number {
  return had > 0 ? Math.min(1, asked / had) : 0;
}
