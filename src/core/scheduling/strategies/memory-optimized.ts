import type { Strategy } from "../contract.js";
import { load } from "../scorers/load.js";
import { memoryFit } from "../scorers/memory-fit.js";

/** Best fit: the GPU whose memory the request fills up most, so that large gaps stay for large requests; of such the less loaded. */
export const memoryOptimized: Strategy = {
  name: "memory_optimized",
  scorers: [
    { scorer: memoryFit, weight: 0.9 },
    { scorer: load, weight: 0.1 },
  ],
};
