// What a simulated request costs: CPU seconds per million requests, which other work on the machine sways less than the time by the clock.
// Runs take their seeds in turn; the first one warms up. Stands alone: node test/bench/simulate.mjs [--json]
import { pathToFileURL } from "node:url";
import { policiesNamed } from "../../dist/src/sim/policies.js";
import { scenarioNamed } from "../../dist/src/sim/scenarios.js";
import { DEFAULT_FAULTS, openWorld, setUp } from "../../dist/src/sim/set-up.js";
import { simulate } from "../../dist/src/sim/simulation.js";

/** Both at loads that they carry on 32 GPUs; none needs a trace. */
const CASES = [
  { policy: "hybrid", load: 5 },
  { policy: "least_outstanding_weighted@1/4", load: 2.5 },
];
const CONDITIONS = { faults: DEFAULT_FAULTS, override: { settings: {}, hybrid: {} }, prefixCacheTokens: null };

async function costs({ policy: name, load }, minutes, rounds) {
  const scenario = scenarioNamed("synthetic-main");
  const world = await openWorld({ scenario, traces: null, fleet: null, load, scaling: "superpose", durationMs: minutes * 60_000 });
  const [policy] = policiesNamed(name);
  const cpuSecondsPerMillion = [];
  let requests = 0;
  for (let round = -1; round < rounds; round += 1) {
    const options = setUp(world, policy, 250 + round, CONDITIONS);
    const before = process.cpuUsage();
    const run = simulate(options);
    const { user, system } = process.cpuUsage(before);
    if (round < 0) continue;
    requests += run.requests.count;
    cpuSecondsPerMillion.push((user + system) / run.requests.count);
  }
  return { policy: name, load, minutes, requests, cpuSecondsPerMillion };
}

/** One case after the other. */
export async function benchSimulate({ minutes, rounds }) {
  const all = [];
  for (const each of CASES) all.push(await costs(each, minutes, rounds));
  return all;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const results = await benchSimulate({ minutes: 20, rounds: 5 });
  if (process.argv.includes("--json")) console.log(JSON.stringify(results, null, 2));
  else for (const { policy, load, requests, cpuSecondsPerMillion } of results) console.log(`${policy} at load ${load}, ${requests} requests: ${cpuSecondsPerMillion.map((each) => each.toFixed(0)).join(", ")} CPU s per million`);
}
