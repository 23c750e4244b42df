import type { StateScorer } from "../contract.js";

/** From this compute capability on (Volta, the first with tensor cores) a GPU is made for both training and inference. */
const TENSOR_CORES = 7_000;
const FULL_MEMORY_MIB = 80 * 1024;

/**
 * How well a GPU suits the kind of work, 0..1 (row R2 leaves the values open): inference runs well on everything with
 * tensor cores; anything else wants memory too, so it gets the share of 80 GiB that the GPU has.
 */
export const typeCompatibility: StateScorer = {
  name: "type_compatibility",
  value(fleet, gpu, type) {
    const cores = fleet.computeCapability[gpu]! >= TENSOR_CORES ? 1 : 0.5;
    return type === "inference" ? cores : cores * Math.min(1, fleet.memoryTotalMib[gpu]! / FULL_MEMORY_MIB);
  },
};
