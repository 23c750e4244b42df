import { kvUse } from "../kv-use.js";
import type { StateScorer } from "../contract.js";

/** llm-d's KV scorer: share of the key-value cache that is free; 1 where its size is not known. */
export const kvFree: StateScorer = {
  name: "kv_free",
  value: (fleet, gpu) => 1 - kvUse(fleet, gpu),
};
