import { overLimitText } from "../../model/quota.js";
import type { RequestFilter } from "../contract.js";

/** A user at his limit goes to no GPU; at his limit of GPUs, to those only that he is on. */
export const quota: RequestFilter = {
  name: "quota",
  applies: (ask) => (ask.quota ?? null) !== null,
  needed: (ask) => (ask.quota ? `room under a quota: ${overLimitText(ask.quota.over)}` : ""),
  keep(_fleet, { quota: room }, candidates, count) {
    if (!room) return count;
    let kept = 0;
    for (let k = 0; k < count; k += 1) if (room.allows(candidates[k]!)) candidates[kept++] = candidates[k]!;
    return kept;
  },
  everPasses: () => true,
};
