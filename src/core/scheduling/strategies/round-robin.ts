import type { Strategy } from "../contract.js";
import { lastTurn } from "../scorers/last-turn.js";

/** The GPU whose last turn was longest ago, among those that can take the request. */
export const roundRobin: Strategy = {
  name: "round_robin",
  // Placement 1,000,001 is not as good as placement 1,000,000.
  tieShare: 0,
  scorers: [{ scorer: lastTurn, weight: -1 }],
};
