import type { Strategy } from "../contract.js";
import { outstanding } from "../scorers/outstanding.js";

/** The GPU with the fewest requests, by the router's own count: nothing is older than the last placement. */
export const leastOutstanding: Strategy = {
  name: "least_outstanding",
  scorers: [{ scorer: outstanding, weight: -1 }],
};
