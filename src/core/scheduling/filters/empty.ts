import { keepAll, type RequestFilter } from "../contract.js";

/** Work that has its GPUs to itself goes to GPUs that hold nothing. */
export const empty: RequestFilter = {
  name: "empty",
  applies: (ask) => ask.exclusive,
  needed: (ask) => (ask.gpus > 1 ? "GPUs without other requests, to have them to itself" : "a GPU without other requests, to have it to itself"),
  keep(fleet, _ask, candidates, count) {
    const { active } = fleet;
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      if (active[gpu] === 0) candidates[kept++] = gpu;
    }
    return kept;
  },
  keepWhenIdle: keepAll,
  everPasses: () => true,
};
