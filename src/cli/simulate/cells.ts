// Runs every policy at every load by every seed and pools the seeds. What is stopped in between gives what was done by then.
import { pooled, type Measures } from "../../sim/measure.js";
import type { Policy } from "../../sim/policies.js";
import type { SimulatedRun } from "../../sim/result.js";
import { PoolClosed, type TrialPool } from "../../sim/trial-pool.js";
import { trialOf, type Study } from "../../sim/trials.js";

/** A policy at a load: `measures` is null when the fleet cannot hold the models or no request comes, and `trouble` says so; both null when no seed was done. */
export interface Cell {
  readonly policy: string;
  readonly load: number;
  readonly measures: Measures | null;
  readonly trouble: string | null;
}

/** The cells in the order of policies, then loads. `onRun` gets each run with its requests when it is given. */
export async function runCells(pool: TrialPool, study: Study, policies: readonly Policy[], loads: readonly number[], onRun?: (run: SimulatedRun) => Promise<void>): Promise<Cell[]> {
  // Loads outermost: the traces that one needs are read once for all policies.
  const begun = loads.flatMap((load) => policies.map((policy) => ({ policy, load, cell: runCell(pool, study, policy, load, onRun) })));
  const settled = await Promise.all(begun.map(({ cell }) => cell));
  return policies.flatMap((policy) => settled.filter((cell) => cell.policy === policy.name));
}

async function runCell(pool: TrialPool, study: Study, policy: Policy, load: number, onRun?: (run: SimulatedRun) => Promise<void>): Promise<Cell> {
  const measures: Measures[] = [];
  let trouble: string | null = null;
  // Rows are written in the order of seeds, whichever is done first.
  let written: Promise<void> = Promise.resolve();
  await Promise.all(
    study.seeds.map(async (seed) => {
      const running = pool.run(trialOf(study, policy, load, seed, onRun !== undefined));
      const turn = written;
      const one = running.then(
        async (result) => {
          if (result.outcome === "no_room") {
            trouble = result.message;
            return;
          }
          measures.push(result.measures);
          await turn;
          if (result.run && onRun) await onRun(result.run);
        },
        (error: unknown) => {
          if (!(error instanceof PoolClosed)) throw error;
        },
      );
      written = one.catch(() => undefined);
      await one;
    }),
  );
  measures.sort((a, b) => (a.seeds[0]?.seed ?? 0) - (b.seeds[0]?.seed ?? 0));
  const all = measures.length === 0 ? null : pooled(measures);
  if (all !== null && all.interactive.requests + all.batch.requests === 0) return { policy: policy.name, load, measures: null, trouble: "no request comes in this time: give more --minutes, or a larger --load" };
  return { policy: policy.name, load, measures: all, trouble };
}
