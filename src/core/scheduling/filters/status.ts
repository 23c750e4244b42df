import type { StateFilter } from "../contract.js";

/** Only GPUs whose node is connected take work. */
export const status: StateFilter = {
  name: "status",
  needed: "a GPU whose node is connected",
  blocks: (fleet, gpu) => !fleet.nodeOf[gpu]!.connected && !fleet.nodeOf[gpu]!.suspect,
};
