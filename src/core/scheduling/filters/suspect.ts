import type { StateFilter } from "../contract.js";

/** A node whose stream was just cut keeps its work and takes no more. */
export const suspect: StateFilter = {
  name: "suspect",
  needed: "a GPU whose node was not cut off a moment ago",
  blocks: (fleet, gpu) => fleet.nodeOf[gpu]!.suspect,
};
