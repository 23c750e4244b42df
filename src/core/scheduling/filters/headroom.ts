import { keepAll, type FromSettings, type RequestFilter } from "../contract.js";

const HIGHEST = 5;

/**
 * Keeps slots of every GPU for higher priorities: priority 5 may take all, 1 the share that `priority_headroom` leaves, the others in
 * equal steps between. An idle GPU takes anything.
 */
export const headroom: FromSettings<RequestFilter> = ({ maxConcurrentTasksPerGpu, priorityHeadroom }) => {
  const limits = Array.from({ length: HIGHEST + 1 }, (_, priority) => {
    const share = 1 - (priorityHeadroom * (HIGHEST - priority)) / (HIGHEST - 1);
    return Math.max(1, Math.round(maxConcurrentTasksPerGpu * share));
  });
  return {
    name: "headroom",
    applies: (ask) => limits[ask.spec.priority]! < maxConcurrentTasksPerGpu,
    needed: (ask) => `a GPU with fewer than ${limits[ask.spec.priority]} requests; the other slots are kept for higher priorities`,
    shortfall: { unit: "too many on it", by: (fleet, ask, gpu) => fleet.active[gpu]! - limits[ask.spec.priority]! + 1 },
    keep(fleet, ask, candidates, count) {
      const limit = limits[ask.spec.priority]!;
      const { active } = fleet;
      let kept = 0;
      for (let k = 0; k < count; k += 1) {
        const gpu = candidates[k]!;
        if (active[gpu]! < limit) candidates[kept++] = gpu;
      }
      return kept;
    },
    keepWhenIdle: keepAll,
    everPasses: () => true,
  };
};
