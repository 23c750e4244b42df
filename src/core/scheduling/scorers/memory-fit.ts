import type { Fleet } from "../../fleet/fleet.js";
import type { Ask, RequestScorer } from "../contract.js";

/** What is left at half the score, MiB. */
const HALF_MIB = 16 * 1024;

/**
 * Best fit: 1 when the request fills the GPU's memory up to the threshold, 0.5 when 16 GiB are left, 0 at infinity. 1 everywhere for a
 * request that brings no memory need of its own.
 */
export const memoryFit: RequestScorer = {
  name: "memory_fit",
  value: fit,
  add(fleet, ask, candidates, count, weight, totals) {
    for (let k = 0; k < count; k += 1) totals[k]! += weight * fit(fleet, ask, candidates[k]!);
  },
};

function fit(fleet: Fleet, ask: Ask, gpu: number): number {
  const { memoryMib } = ask.estimate;
  if (memoryMib === 0) return 1;
  return HALF_MIB / (HALF_MIB + Math.max(0, fleet.roomMib[gpu]! - memoryMib));
}
