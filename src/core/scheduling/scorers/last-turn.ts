import type { StateScorer } from "../contract.js";

/** The number of the placement that it got last, 0 before its first: a cost, so that whose turn was longest ago comes next. */
export const lastTurn: StateScorer = {
  name: "last_turn",
  value: (fleet, gpu) => fleet.outcomes.lastPlacedSequence[gpu]!,
};
