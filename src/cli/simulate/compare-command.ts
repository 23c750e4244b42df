// `simulate --compare`: hybrid against LEAST_LOADED and the best peer, scenario by scenario; lines as they are done, the table at the end.
import { compare, type Comparison } from "../../sim/comparison.js";
import { DEFAULT_GOAL } from "../../sim/goodput.js";
import { PoolClosed, type TrialPool } from "../../sim/trial-pool.js";
import type { Study } from "../../sim/trials.js";
import { comparisonLine } from "./compare-markdown.js";

/** Comparisons that were done; GPUs, and ablations if wanted, are of the first study. `onLine` gets text for people as it goes. */
export async function runComparisons(pool: TrialPool, studies: readonly Study[], ablations: boolean, onStep: (text: string) => void, onLine: (text: string) => Promise<void>): Promise<Comparison[]> {
  const done: Comparison[] = [];
  try {
    for (const [index, study] of studies.entries()) {
      onStep(study.scenario.name);
      const comparison = await compare(pool, study, { goal: DEFAULT_GOAL, countGpus: index === 0, ablations: ablations && index === 0, onStep: (text) => onStep(`${study.scenario.name}: ${text}`) });
      done.push(comparison);
      await onLine(comparisonLine(comparison));
    }
  } catch (error) {
    if (!(error instanceof PoolClosed)) throw error;
  }
  return done;
}
