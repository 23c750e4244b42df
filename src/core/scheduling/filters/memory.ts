import type { FromSettings, RequestFilter } from "../contract.js";

/**
 * Room for the estimate below `memory_threshold`. A request that brings no memory need of its own (its model is loaded
 * and holds what it uses) is not asked: an engine that keeps 90 % of a GPU for itself is the normal case.
 */
export const memory: FromSettings<RequestFilter> = (settings) => ({
  name: "memory",
  applies: (ask) => ask.estimate.memoryMib > 0,
  needed: (ask) => `${ask.estimate.memoryMib} MiB free with at most ${settings.memoryThreshold * 100} % of the memory in use afterwards`,
  shortfall: { unit: "MiB short", by: (fleet, ask, gpu) => ask.estimate.memoryMib - fleet.roomMib[gpu]! },
  keep(fleet, ask, candidates, count) {
    const { memoryMib } = ask.estimate;
    const { roomMib } = fleet;
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      if (roomMib[gpu]! >= memoryMib) candidates[kept++] = gpu;
    }
    return kept;
  },
  keepWhenIdle(fleet, ask, candidates, count) {
    const { memoryMib } = ask.estimate;
    const { active, roomMib, memoryTotalMib } = fleet;
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const room = active[gpu] === 0 ? roomMib[gpu]! : memoryTotalMib[gpu]! * settings.memoryThreshold;
      if (room >= memoryMib) candidates[kept++] = gpu;
    }
    return kept;
  },
  everPasses(fleet, ask) {
    const { memoryMib } = ask.estimate;
    return fleet.inventory.some((gpu) => gpu.memoryTotalMib * settings.memoryThreshold >= memoryMib);
  },
});
