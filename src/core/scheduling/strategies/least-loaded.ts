import type { Strategy } from "../contract.js";
import { load } from "../scorers/load.js";

/** The GPU with the lowest utilisation, telemetry corrected by what was placed since. */
export const leastLoaded: Strategy = {
  name: "least_loaded",
  scorers: [{ scorer: load, weight: 1 }],
};
