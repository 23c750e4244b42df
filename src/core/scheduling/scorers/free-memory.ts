import type { RequestScorer } from "../contract.js";

/** Share of its memory that is free, what was placed since the sample counted as used. */
export const freeMemory: RequestScorer = {
  name: "free_memory",
  value: (fleet, _ask, gpu) => free(fleet.effectiveUsedMib[gpu]!, fleet.memoryTotalMib[gpu]!),
  add(fleet, _ask, candidates, count, weight, totals) {
    const { effectiveUsedMib, memoryTotalMib } = fleet;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      totals[k]! += weight * free(effectiveUsedMib[gpu]!, memoryTotalMib[gpu]!);
    }
  },
};

function free(usedMib: number, totalMib: number): number {
  return totalMib > usedMib ? 1 - usedMib / totalMib : 0;
}
