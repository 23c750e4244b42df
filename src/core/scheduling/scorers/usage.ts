import type { StateScorer } from "../contract.js";

/** Free memory and idle compute: 0.6 (1 − memory used / total) + 0.4 (1 − utilisation), load placed since the sample included (row R2). */
export const usage: StateScorer = {
  name: "usage",
  value(fleet, gpu) {
    const total = fleet.memoryTotalMib[gpu]!;
    const memoryFree = total > 0 ? Math.max(0, 1 - fleet.effectiveUsedMib[gpu]! / total) : 0;
    return 0.6 * memoryFree + 0.4 * (1 - fleet.effectiveUtilization[gpu]!);
  },
};
