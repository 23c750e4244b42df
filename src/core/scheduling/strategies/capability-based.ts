import type { Strategy } from "../contract.js";
import { capabilityMatch } from "../scorers/capability-match.js";
import { load } from "../scorers/load.js";
import { typeCompatibility } from "../scorers/type-compatibility.js";

/** The GPU whose abilities suit the request best, no weaker and no stronger than it asks; of such the less loaded. */
export const capabilityBased: Strategy = {
  name: "capability_based",
  scorers: [
    { scorer: capabilityMatch, weight: 0.5 },
    { scorer: typeCompatibility, weight: 0.25 },
    { scorer: load, weight: 0.25 },
  ],
};
