import type { StateScorer } from "../contract.js";

/** 1 for an idle GPU, 0 for one whose every slot is taken: utilisation with what was placed since the sample. */
export const load: StateScorer = {
  name: "load",
  value: (fleet, gpu) => 1 - fleet.effectiveUtilization[gpu]!,
};
