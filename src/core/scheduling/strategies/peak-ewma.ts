import type { Strategy } from "../contract.js";
import { peakEwma as cost } from "../scorers/peak-ewma.js";

/** The least latency for the requests that it has: keeps away from GPUs that have become slow or fail. */
export const peakEwma: Strategy = {
  name: "peak_ewma",
  scorers: [{ scorer: cost, weight: -1 }],
};
