import type { RequestFilter } from "../contract.js";

/**
 * A retry goes to another GPU than the one of its last attempt, unless that is the only one left. Of several GPUs the one to blame is
 * not known: the scheduler then prefers another node.
 */
export const avoid: RequestFilter = {
  name: "avoid",
  applies: (ask) => ask.avoidGpuId !== "" && ask.gpus === 1,
  needed: (ask) => `another GPU than ${ask.avoidGpuId}, where the last attempt ended`,
  keep(fleet, ask, candidates, count) {
    const avoided = ask.avoidGpuId === "" ? -1 : fleet.indexOf(ask.avoidGpuId);
    const place = candidates.subarray(0, count).indexOf(avoided);
    if (place < 0 || count === 1) return count;
    candidates.copyWithin(place, place + 1, count);
    return count - 1;
  },
  everPasses: () => true,
};
