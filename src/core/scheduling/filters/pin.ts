import type { RequestFilter } from "../contract.js";

/** A request with `specific_gpu_id` goes to that GPU or waits for it. */
export const pin: RequestFilter = {
  name: "pin",
  applies: (ask) => ask.spec.specificGpuId !== "",
  needed: (ask) => `GPU ${ask.spec.specificGpuId}`,
  keep(fleet, ask, candidates, count) {
    const wanted = ask.spec.specificGpuId === "" ? -1 : fleet.indexOf(ask.spec.specificGpuId);
    for (let k = 0; k < count; k += 1) {
      if (candidates[k] !== wanted) continue;
      candidates[0] = wanted;
      return 1;
    }
    return 0;
  },
  everPasses: (fleet, ask) => ask.spec.specificGpuId === "" || fleet.indexOf(ask.spec.specificGpuId) >= 0,
};
