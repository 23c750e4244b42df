import type { Fleet } from "../../fleet/fleet.js";
import type { Ask, RequestFilter } from "../contract.js";

/**
 * Work on several GPUs at once needs that many on one node, for one of its runners. Runs last: it counts what every other filter
 * has left.
 */
export const gang: RequestFilter = {
  name: "gang",
  applies: (ask) => ask.gpus > 1,
  needed: (ask) => `${ask.gpus} such GPUs on one node, for one runner`,
  keep(fleet, ask, candidates, count) {
    const enough = new Set<number>();
    for (const [team, size] of teamSizes(fleet, ask, candidates, count)) if (size >= ask.gpus) enough.add(team);
    const teams = teamsOf(fleet, ask);
    let kept = 0;
    for (let k = 0; k < count; k += 1) if (enough.has(teams[candidates[k]!]!)) candidates[kept++] = candidates[k]!;
    return kept;
  },
  everPasses(fleet, ask) {
    const all = Int32Array.from({ length: fleet.size }, (_, gpu) => gpu);
    return [...teamSizes(fleet, ask, all, all.length).values()].some((size) => size >= ask.gpus);
  },
};

/** By GPU index: a number that GPUs of one node share whose runner for the request is the same; -1 without one. */
export function teamsOf(fleet: Fleet, { spec, gpus }: Ask): Int32Array {
  return fleet.runners.for(fleet, spec.modelId, spec.type, gpus).teamOf;
}

function teamSizes(fleet: Fleet, ask: Ask, candidates: Int32Array, count: number): Map<number, number> {
  const teams = teamsOf(fleet, ask);
  const sizes = new Map<number, number>();
  for (let k = 0; k < count; k += 1) {
    const team = teams[candidates[k]!]!;
    if (team >= 0) sizes.set(team, (sizes.get(team) ?? 0) + 1);
  }
  return sizes;
}
