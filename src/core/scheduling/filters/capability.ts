import { computeCapabilityText } from "../../model/request.js";
import type { RequestFilter } from "../contract.js";

/** Compute capability compared as version numbers, and enough multiprocessors. GPUs that do not tell their count pass. */
export const capability: RequestFilter = {
  name: "capability",
  applies: (ask) => ask.spec.requirements.minComputeCapability > 0 || ask.spec.requirements.computeUnits > 0,
  needed(ask) {
    const { minComputeCapability, computeUnits } = ask.spec.requirements;
    const parts: string[] = [];
    if (minComputeCapability > 0) parts.push(`compute capability ${computeCapabilityText(minComputeCapability)} or higher`);
    if (computeUnits > 0) parts.push(`${computeUnits} multiprocessors or more`);
    return parts.join(" and ");
  },
  keep(fleet, ask, candidates, count) {
    const { minComputeCapability, computeUnits } = ask.spec.requirements;
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      if (fleet.computeCapability[gpu]! < minComputeCapability) continue;
      const units = fleet.multiprocessorCount[gpu]!;
      if (units > 0 && units < computeUnits) continue;
      candidates[kept++] = gpu;
    }
    return kept;
  },
  everPasses(fleet, ask) {
    const { minComputeCapability, computeUnits } = ask.spec.requirements;
    return fleet.inventory.some(
      (gpu) => gpu.computeCapability >= minComputeCapability && (gpu.multiprocessorCount === 0 || gpu.multiprocessorCount >= computeUnits),
    );
  },
};
