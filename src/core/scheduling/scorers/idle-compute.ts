import type { RequestScorer } from "../contract.js";

/** Share of its compute that is idle, as `load` says it, for weights that move. */
export const idleCompute: RequestScorer = {
  name: "idle_compute",
  value: (fleet, _ask, gpu) => 1 - fleet.effectiveUtilization[gpu]!,
  add(fleet, _ask, candidates, count, weight, totals) {
    const { effectiveUtilization } = fleet;
    for (let k = 0; k < count; k += 1) totals[k]! += weight * (1 - effectiveUtilization[candidates[k]!]!);
  },
};
