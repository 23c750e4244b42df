import type { StateFilter } from "../contract.js";

/** GPUs that an operator has taken out, or that are being restarted, take no new work. */
export const maintenance: StateFilter = {
  name: "maintenance",
  needed: "a GPU that no operator has taken out of service",
  blocks: (fleet, gpu) => fleet.maintenance.has(gpu),
};
