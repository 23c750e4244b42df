// What refused GPUs lack, in figures: for each filter the GPU that comes nearest and by how much it falls short, and whether any GPU ever
// could. Asked for by Explain alone, where nothing fits, so it may cost more than a decision: filters are applied once more, and what they remove is kept.
import type { Fleet } from "../fleet/fleet.js";
import type { Ask, RequestFilter } from "./contract.js";

/** By name of the filter, such as "sim-2 comes nearest, 4,000 MiB short". Of filters that removed nothing, or do not count, there is nothing. */
export function shortfalls(fleet: Fleet, ask: Ask, filters: readonly RequestFilter[], unblocked: readonly number[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let left = unblocked;
  for (const filter of filters) {
    if (left.length === 0) break;
    if (!filter.applies(ask)) continue;
    const kept = Int32Array.from(left);
    const passed = new Set(kept.subarray(0, filter.keep(fleet, ask, kept, kept.length)));
    const removed = left.filter((gpu) => !passed.has(gpu));
    if (removed.length > 0) {
      const words = [nearest(fleet, ask, filter, removed), passed.size === 0 && !filter.everPasses(fleet, ask) ? "no GPU of this fleet could, even idle" : ""].filter((each) => each !== "").join("; ");
      if (words !== "") found.set(filter.name, words);
    }
    left = left.filter((gpu) => passed.has(gpu));
  }
  return found;
}

function nearest(fleet: Fleet, ask: Ask, { shortfall }: RequestFilter, removed: readonly number[]): string {
  if (!shortfall) return "";
  let least = Number.POSITIVE_INFINITY;
  let best = -1;
  for (const gpu of removed) {
    const by = shortfall.by(fleet, ask, gpu);
    // Nothing is short where something else than this measure kept it out.
    if (!(by > 0 && by < least)) continue;
    least = by;
    best = gpu;
  }
  return best < 0 ? "" : `${fleet.inventory[best]!.gpuId} comes nearest, ${Math.ceil(least).toLocaleString("en")} ${shortfall.unit}`;
}
