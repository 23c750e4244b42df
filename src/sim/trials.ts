// The trials of a question: one policy at one load by several seeds, pooled. Used by everything that asks the simulator something.
import { pooled, type Measures } from "./measure.js";
import type { Policy } from "./policies.js";
import type { Conditions } from "./set-up.js";
import type { Trial } from "./trial.js";
import type { TrialPool } from "./trial-pool.js";
import type { FleetPlan, Scenario } from "./workload/scenario.js";

/** What all trials of a study share. */
export interface Study {
  readonly scenario: Scenario;
  readonly traces: string | null;
  /** Instead of the scenario's own; null for that. */
  readonly fleet: FleetPlan | null;
  readonly durationMs: number;
  readonly scaling: "compress" | "superpose";
  readonly seeds: readonly number[];
  readonly conditions: Conditions;
}

/** The seeds' runs of a policy at a load as one; null when the fleet cannot hold the models. Rejects as the pool does. */
export async function evaluate(pool: TrialPool, study: Study, policy: Policy, load: number): Promise<Measures | null> {
  const results = await Promise.all(study.seeds.map((seed) => pool.run(trialOf(study, policy, load, seed))));
  const measured = results.flatMap((result) => (result.outcome === "measured" ? [result.measures] : []));
  return measured.length < results.length ? null : pooled(measured);
}

/** One run of a study. */
export function trialOf(study: Study, policy: Policy, load: number, seed: number, keepRun = false): Trial {
  const { scenario, traces, fleet, durationMs, scaling, conditions } = study;
  return { world: { scenario, traces, fleet, load, scaling, durationMs }, policy, seed, conditions, keepRun };
}
