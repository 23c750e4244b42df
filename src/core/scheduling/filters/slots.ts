import type { FromSettings, StateFilter } from "../contract.js";

/** A GPU holds at most `max_concurrent_tasks_per_gpu` requests. */
export const slots: FromSettings<StateFilter> = (settings) => ({
  name: "slots",
  needed: `a GPU with fewer than ${settings.maxConcurrentTasksPerGpu} requests`,
  passesWhenIdle: true,
  blocks: (fleet, gpu) => fleet.active[gpu]! >= settings.maxConcurrentTasksPerGpu,
});
