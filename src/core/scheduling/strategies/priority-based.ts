import type { FromSettings, Strategy } from "../contract.js";
import { headroom } from "../filters/headroom.js";
import { load } from "../scorers/load.js";
import { speedMatch } from "../scorers/speed-match.js";

/**
 * More of the fleet for higher priorities: slots that lower ones may not take, and the faster GPUs. The line before it is ordered by
 * priority whatever the strategy.
 */
export const priorityBased: FromSettings<Strategy> = (settings) => ({
  name: "priority_based",
  filters: [headroom(settings)],
  scorers: [
    { scorer: load, weight: 0.6 },
    { scorer: speedMatch, weight: 0.4 },
  ],
});
