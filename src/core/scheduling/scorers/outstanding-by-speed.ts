import type { StateScorer } from "../contract.js";

/**
 * Requests that it would have with one more, divided by how fast it is: a cost. The speed is that of its kind, halved or raised by half
 * by what its own outcomes showed. With one more, so that of idle GPUs the fastest comes first.
 */
export const outstandingBySpeed: StateScorer = {
  name: "outstanding_by_speed",
  value: (fleet, gpu) => (fleet.active[gpu]! + 1) / (fleet.outcomes.relativeSpeed[gpu]! * (0.5 + fleet.performanceIndex[gpu]!)),
};
