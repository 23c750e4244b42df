// The fewest GPUs that carry a load within the SLO: the fleet as a whole made smaller or larger, its kinds in the same proportion.
import { gpuCount, type NodeGroup } from "./fleets.js";
import { meets, type Goal } from "./goodput.js";
import type { Measures } from "./measure.js";
import { lastThatHolds } from "./step-search.js";
import type { FleetPlan } from "./workload/scenario.js";

/** More than this is not tried, unless the caller says otherwise. */
const MOST_GPUS = 4096;

export interface GpusNeeded {
  /** null when even the most that was tried does not carry the load. */
  readonly gpus: number | null;
  /** With that many. */
  readonly measures: Measures | null;
  readonly tried: readonly { readonly gpus: number; readonly measures: Measures | null }[];
}

/** Searches from `guess`. `measure` simulates the load on so many GPUs (null: they cannot hold the models); each number is asked once. */
export async function gpusNeeded(measure: (gpus: number) => Promise<Measures | null>, goal: Goal, guess: number, mostGpus = MOST_GPUS): Promise<GpusNeeded> {
  const tried = new Map<number, Measures | null>();
  const tooFew = async (gpus: number): Promise<boolean> => {
    const measures = await measure(gpus);
    tried.set(gpus, measures);
    return measures === null || !meets(measures, goal);
  };
  const stride = Math.max(1, Math.round(guess / 5));
  const most = await lastThatHolds(tooFew, { from: guess, least: 1, most: mostGpus, stride });
  const gpus = most === mostGpus ? null : (most ?? 0) + 1;
  return { gpus, measures: gpus === null ? null : (tried.get(gpus) ?? null), tried: [...tried].toSorted(([one], [other]) => one - other).map(([count, measures]) => ({ gpus: count, measures })) };
}

/** The plan with `gpus` GPUs: each kind keeps its share (largest remainders), nodes their size but for the last of a kind. */
export function scaledFleet(plan: FleetPlan, gpus: number): FleetPlan {
  if (!("groups" in plan)) return { ...plan, openbGpus: gpus };
  const total = gpuCount(plan.groups);
  const exact = plan.groups.map((group) => (gpuCount([group]) / total) * gpus);
  const counts = exact.map(Math.floor);
  const byRemainder = exact.map((value, index) => ({ index, remainder: value % 1 })).toSorted((a, b) => b.remainder - a.remainder || a.index - b.index);
  const left = gpus - counts.reduce((sum, count) => sum + count, 0);
  for (const { index } of byRemainder.slice(0, left)) counts[index]! += 1;
  return { groups: plan.groups.flatMap((group, index) => nodesOf(group, counts[index] ?? 0)) };
}

function nodesOf({ kind, gpus }: NodeGroup, count: number): NodeGroup[] {
  const whole = { kind, gpus, nodes: Math.floor(count / gpus) };
  const rest = { kind, gpus: count % gpus, nodes: 1 };
  return [...(whole.nodes > 0 ? [whole] : []), ...(rest.gpus > 0 ? [rest] : [])];
}
