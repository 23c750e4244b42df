import type { Strategy } from "../contract.js";
import { kvFree } from "../scorers/kv-free.js";
import { prefixMatch } from "../scorers/prefix-match.js";
import { queue } from "../scorers/queue.js";

/** The scorers of llm-d's endpoint picker with the weights of its guide (queue 2, KV cache 2, prefix 3), on the router's own counts. */
export function llmDLike(): Strategy {
  return {
    name: "llm_d_like",
    scorers: [
      { scorer: queue(), weight: 2 / 7 },
      { scorer: kvFree, weight: 2 / 7 },
      { scorer: prefixMatch, weight: 3 / 7 },
    ],
  };
}
