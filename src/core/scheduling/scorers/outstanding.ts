import type { StateScorer } from "../contract.js";

/** Requests that it has, started or not: a cost, so it is weighed with -1. */
export const outstanding: StateScorer = {
  name: "outstanding",
  value: (fleet, gpu) => fleet.active[gpu]!,
};
