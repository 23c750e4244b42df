import type { Fleet } from "../../fleet/fleet.js";
import type { Ask, FromSettings, RequestScorer } from "../contract.js";

/**
 * What would be left of the scarcest resource that the request needs, as a share of what the GPU has: memory when it brings a need of
 * its own, multiprocessors when it names some, else one slot of compute.
 */
export const bottleneck: FromSettings<RequestScorer> = ({ maxConcurrentTasksPerGpu }) => {
  const left = (fleet: Fleet, ask: Ask, gpu: number): number => {
    const { computeUnits } = ask.spec.requirements;
    const multiprocessors = fleet.multiprocessorCount[gpu]!;
    const share = computeUnits > 0 && multiprocessors > 0 ? computeUnits / multiprocessors : 1 / maxConcurrentTasksPerGpu;
    const compute = 1 - fleet.effectiveUtilization[gpu]! - share;
    const { memoryMib } = ask.estimate;
    const memory = memoryMib > 0 ? 1 - (fleet.effectiveUsedMib[gpu]! + memoryMib) / fleet.memoryTotalMib[gpu]! : 1;
    return Math.max(0, Math.min(compute, memory));
  };
  return {
    name: "bottleneck",
    value: left,
    add(fleet, ask, candidates, count, weight, totals) {
      for (let k = 0; k < count; k += 1) totals[k]! += weight * left(fleet, ask, candidates[k]!);
    },
  };
};
