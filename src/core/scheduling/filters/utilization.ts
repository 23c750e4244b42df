import type { FromSettings, StateFilter } from "../contract.js";

/**
 * Keeps work off a GPU that somebody else keeps busy. NVML shows 100 % for a single running kernel, so a GPU that runs
 * our own work is judged by its slots, not by this figure.
 */
export const utilization: FromSettings<StateFilter> = (settings) => ({
  name: "utilization",
  needed: `a GPU less than ${settings.utilizationThreshold * 100} % busy with work of others`,
  blocks: (fleet, gpu) => !fleet.ownWorkAtSample(gpu) && fleet.utilizationPercent[gpu]! >= settings.utilizationThreshold * 100,
});
