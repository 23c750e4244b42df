import type { StateFilter } from "../contract.js";

/** Nobody comes to a GPU that a request has to itself. */
export const exclusive: StateFilter = {
  name: "exclusive",
  needed: "a GPU that no other request has to itself",
  passesWhenIdle: true,
  blocks: (fleet, gpu) => fleet.exclusive[gpu]! > 0,
};
