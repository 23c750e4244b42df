import type { StateScorer } from "../contract.js";

/** The GPU's learned performance index, 0..1; 0.5 while unknown (row R2). */
export const performance: StateScorer = {
  name: "performance",
  value: (fleet, gpu) => fleet.performanceIndex[gpu]!,
};
