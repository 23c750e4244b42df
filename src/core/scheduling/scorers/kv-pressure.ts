import { kvUse } from "../kv-use.js";
import type { StateScorer } from "../contract.js";

const SECONDS = 0.15;
const FULL = 0.99;

/** Cost in seconds of a cache that fills up, 0.15 k / (1 - k) for the share k in use (SGLang gateway); at most 15 s. */
export const kvPressure: StateScorer = {
  name: "kv_pressure",
  value(fleet, gpu) {
    const used = Math.min(FULL, kvUse(fleet, gpu));
    return (SECONDS * used) / (1 - used);
  },
};
