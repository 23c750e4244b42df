import type { Fleet } from "../../fleet/fleet.js";
import type { GpuId } from "../../model/ids.js";
import type { FromSettings, RequestFilter } from "../contract.js";

/** A request whose type is in `task_specific_mappings` goes to one of the GPUs named there, or waits for them; others go anywhere. */
export const mapping: FromSettings<RequestFilter> = ({ taskMappings }) => {
  const ofType = new Map(Object.entries(taskMappings));
  // One look-up per name and shape of the fleet, not per decision.
  const indexes = new Map<string, { readonly shapeSequence: number; readonly mapped: Set<number> }>();
  const mappedTo = (fleet: Fleet, type: string): ReadonlySet<number> => {
    const known = indexes.get(type);
    if (known?.shapeSequence === fleet.shapeSequence) return known.mapped;
    const mapped = new Set((ofType.get(type) ?? []).map((name) => indexOf(fleet, name)).filter((gpu) => gpu >= 0));
    indexes.set(type, { shapeSequence: fleet.shapeSequence, mapped });
    return mapped;
  };
  return {
    name: "mapping",
    applies: (ask) => ofType.has(ask.spec.type),
    needed: (ask) => `one of the GPUs that ${ask.spec.type} is mapped to: ${(ofType.get(ask.spec.type) ?? []).join(", ")}`,
    keep(fleet, ask, candidates, count) {
      const mapped = mappedTo(fleet, ask.spec.type);
      let kept = 0;
      for (let k = 0; k < count; k += 1) {
        const gpu = candidates[k]!;
        if (mapped.has(gpu)) candidates[kept++] = gpu;
      }
      return kept;
    },
    everPasses: (fleet, ask) => mappedTo(fleet, ask.spec.type).size > 0,
  };
};

/** A GPU by its id, or as "gpu_3" by the small integer that lists of GPUs show; -1 when there is none. */
function indexOf(fleet: Fleet, name: string): number {
  const known = fleet.indexOf(name as GpuId);
  if (known >= 0) return known;
  const index = /^gpu_(\d{1,9})$/.exec(name)?.[1];
  return index !== undefined && Number(index) < fleet.size ? Number(index) : -1;
}
