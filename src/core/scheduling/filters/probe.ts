import type { RequestFilter } from "../contract.js";

/**
 * A GPU that has to prove itself does so with a request that is waiting anyway: one that may run again elsewhere, on one GPU, shared
 * with others. There are no requests made up for that.
 */
export const probe: RequestFilter = {
  name: "probe",
  applies: ({ spec, gpus, exclusive }) => !spec.idempotent || gpus > 1 || exclusive,
  needed: () => "a GPU that has proved itself since it was out",
  keep({ health }, _ask, candidates, count) {
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      if (!health.isProbing(gpu)) candidates[kept++] = gpu;
    }
    return kept;
  },
  everPasses: () => true,
};
