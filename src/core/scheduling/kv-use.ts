// How full a GPU's key-value cache is. Read by the scorers that go by it.
import type { Fleet } from "../fleet/fleet.js";
import { reaches } from "../model/gpu.js";

/**
 * Share in use, 0..1: the tokens of what was placed, or what its engine says if that is more; 0 when neither is known. Evaluated when a
 * GPU changes.
 */
export function kvUse(fleet: Fleet, gpu: number): number {
  const capacity = fleet.work.kvCapacityTokens[gpu]!;
  let used = capacity > 0 ? fleet.work.kvTokens[gpu]! / capacity : 0;
  const { runners, loads } = fleet.nodeOf[gpu]!;
  if (loads.size > 0) {
    const { gpuId } = fleet.inventory[gpu]!;
    for (const runner of runners) if (reaches(runner, gpuId)) used = Math.max(used, loads.get(runner.name)?.load.kvUse ?? 0);
  }
  return Math.min(1, used);
}
