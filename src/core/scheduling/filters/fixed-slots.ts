import { keepAll, type FromSettings, type RequestFilter } from "../contract.js";

/** A GPU holds at most `hybrid.fixed_slots` requests: what `hybrid` goes by when it is not to size slots by promises. */
export const fixedSlots: FromSettings<RequestFilter> = ({ hybrid }) => ({
  name: "fixed_slots",
  applies: () => true,
  needed: () => `a GPU with fewer than ${hybrid.fixedSlots} requests`,
  keep(fleet, _ask, candidates, count) {
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      if (fleet.active[gpu]! < hybrid.fixedSlots) candidates[kept++] = gpu;
    }
    return kept;
  },
  keepWhenIdle: keepAll,
  everPasses: () => true,
});
