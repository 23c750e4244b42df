import type { Strategy } from "../contract.js";
import { outstandingBySpeed } from "../scorers/outstanding-by-speed.js";

/** The fewest requests for its speed. */
export const leastOutstandingWeighted: Strategy = {
  name: "least_outstanding_weighted",
  scorers: [{ scorer: outstandingBySpeed, weight: -1 }],
};
