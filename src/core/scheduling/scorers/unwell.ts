import type { StateScorer } from "../contract.js";

/** 0 for a GPU that is well, up to 1 for one that is not: degraded 0.5, coming back from 0.75 down to 0. */
export const unwell: StateScorer = {
  name: "unwell",
  value: (fleet, gpu) => 1 - fleet.health.factor[gpu]!,
};
