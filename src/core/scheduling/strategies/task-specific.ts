import type { FromSettings, Strategy } from "../contract.js";
import { mapping } from "../filters/mapping.js";
import { load } from "../scorers/load.js";

/** The GPUs that the configuration names for the request's type, all of them when it names none; of these the least busy. */
export const taskSpecific: FromSettings<Strategy> = (settings) => ({
  name: "task_specific",
  filters: [mapping(settings)],
  scorers: [{ scorer: load, weight: 1 }],
});
