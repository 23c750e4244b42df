// Training beside people who wait for answers: ten minutes of openb that begin where Philly's jobs are more than the fleet can do, at a
// fifth of the interactive load. With and without what keeps GPUs for the models that are asked for.
import { expect } from "@jest/globals";
import { attainmentOf, completionOf, measure, worstUser, type Measures } from "../../../src/sim/measure.js";
import { policiesNamed } from "../../../src/sim/policies.js";
import { scenarioNamed } from "../../../src/sim/scenarios.js";
import { DEFAULT_FAULTS, openWorld, setUp } from "../../../src/sim/set-up.js";
import { simulate } from "../../../src/sim/simulation.js";
import { TRACES, testWithTraces } from "./workload/real-traces.js";

const DURATION_MS = 600_000;
const LOAD = 0.2;
const SEED = 1002;

async function run(name: string): Promise<Measures> {
  const scenario = { ...scenarioNamed("openb")!, durationMs: DURATION_MS };
  const world = await openWorld({ scenario, traces: TRACES, fleet: null, load: LOAD, scaling: "superpose" });
  const [policy] = policiesNamed(name);
  if (typeof policy !== "object") throw new Error(`no policy ${name}`);
  return measure(simulate(setUp(world, policy, SEED, { faults: DEFAULT_FAULTS, override: { settings: {}, hybrid: {} }, prefixCacheTokens: null })), DURATION_MS);
}

testWithTraces("a burst of training leaves the models the GPUs that they need, and gets nearly as much done", async () => {
  const [kept, taken] = [await run("hybrid"), await run("hybrid-model_room")];
  expect(attainmentOf(kept.interactive)).toBeGreaterThan(0.95);
  expect(worstUser(kept)!.attainment).toBeGreaterThan(0.9);
  expect(attainmentOf(taken.interactive)).toBeLessThan(0.85);
  expect(completionOf(kept.batch)).toBeGreaterThan(completionOf(taken.batch) - 0.05);
});
