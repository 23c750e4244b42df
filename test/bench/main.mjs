// `npm run bench`: what the router costs, each figure beside a yardstick that is measured in the same run.
//   route     Route to its answer and whole lives through the whole stack, against a bare grpc-js echo (needs h2load)
//   decision  one scheduling decision at 10 to 10,000 GPUs, against a plain scan of the same columns
//   journal   group commits, against bare LMDB puts of as many bytes
//   simulate  CPU time of the simulator per million requests
//   auth      Route with a key, and with quotas too, against Route without, three routers side by side; and the check of a known key (needs h2load)
//   encryption  the same with and without encryption of what is stored, two routers side by side (needs h2load)
// Ratios are what counts: absolute figures are those of this machine at this moment. Budgets are in budgets.json.
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HELP = `Usage: npm run bench -- [options]

  --only <names>   comma-separated: route, decision, journal, simulate, auth, encryption (default: all)
  --rounds <n>     rounds of the route benchmark (default: 5)
  --requests <n>   calls per measurement (default: 30000)
  --agents <n>     agents that share the 1,000 GPUs (default: 125, eight GPUs each)
  --smoke          one short round of everything: proves that the benchmarks run, not what they measure
  --json           the samples as one JSON document

Examples:
  npm run bench
  npm run bench -- --only route --rounds 3
  npm run bench -- --json > bench.json`;

process.chdir(path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url)))));
const { values: options } = parseArgs({
  options: {
    only: { type: "string" }, rounds: { type: "string", default: "5" }, requests: { type: "string", default: "30000" }, agents: { type: "string", default: "125" },
    smoke: { type: "boolean", default: false }, json: { type: "boolean", default: false }, help: { type: "boolean", short: "h", default: false },
  },
});
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
if (!existsSync("dist/src/cli/main.js")) {
  console.error("There is no build: run `npm run bench`, which builds first.");
  process.exit(1);
}
mkdirSync(".cache", { recursive: true });
const wanted = new Set((options.only ?? "route,decision,journal,simulate,auth,encryption").split(","));
const budgets = JSON.parse(readFileSync("test/bench/budgets.json", "utf8"));
const results = {};

/** Median, and the spread from lowest to highest. */
function summary(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)], min: sorted[0], max: sorted[sorted.length - 1], samples: sorted.length };
}

function say(text) {
  if (!options.json) console.log(text);
}

function line(name, { median, min, max, samples }, unit, budget) {
  const digits = median < 10 ? 2 : median < 100 ? 1 : 0;
  say(`  ${name.padEnd(34)} ${median.toFixed(digits)} ${unit} (${min.toFixed(digits)} to ${max.toFixed(digits)}, ${samples} samples)${goal(budget)}`);
}

function goal(budget) {
  return budget ? `   goal ${budget.goal}; ${budget.measured}` : "";
}

if (wanted.has("decision")) {
  const { benchDecisions } = await import("./decision.mjs");
  results.decision = benchDecisions();
  say("Decision, µs (median, and the best round):");
  for (const { gpus, name, medianUs, bestUs } of results.decision) {
    const budget = budgets.decision[`${gpus} GPUs, ${name}`];
    say(`  ${`${gpus} GPUs, ${name}`.padEnd(52)} ${medianUs.toFixed(2).padStart(8)} ${bestUs.toFixed(2).padStart(8)}${goal(budget)}`);
  }
}

if (wanted.has("journal")) {
  const { benchJournal } = await import("./journal.mjs");
  results.journal = await benchJournal({ groups: [1, 16, 128], commits: options.smoke ? 5 : 200 });
  say("Journal, ms per durable commit of whole lives (accepted, placed, started, ended, finished request, result):");
  for (const { group, journalMs, journalCpuMs, encryptedMs, encryptedCpuMs, bareMs } of results.journal) {
    line(`${group} lives`, summary(journalMs), "ms");
    line(`  encrypted`, summary(encryptedMs), "ms");
    line(`  CPU time`, summary(journalCpuMs), "ms");
    line(`  CPU time, encrypted`, summary(encryptedCpuMs), "ms");
    line(`  one bare put of the same bytes`, summary(bareMs), "ms");
  }
}

if (wanted.has("simulate")) {
  const { benchSimulate } = await import("./simulate.mjs");
  results.simulate = await benchSimulate(options.smoke ? { minutes: 1, rounds: 1 } : { minutes: 20, rounds: 5 });
  say("Simulator, CPU seconds per million requests (one thread; runs share the cores):");
  for (const { policy, load, cpuSecondsPerMillion } of results.simulate) line(`${policy}, load ${load}`, summary(cpuSecondsPerMillion), "s", budgets.simulate[policy]);
}

if (wanted.has("auth")) {
  const { haveH2load } = await import("./load.mjs");
  const { benchAuth, benchKnownKey } = await import("./auth.mjs");
  results.auth = { knownKey: {}, route: {} };
  say("Authentication, µs to know a key that was seen before:");
  for (const keys of [1, 1_000]) {
    results.auth.knownKey[keys] = await benchKnownKey({ keys, ...(options.smoke && { calls: 2_000, rounds: 2 }) });
    line(`${keys} keys in turn`, summary(results.auth.knownKey[keys]), "µs", budgets.auth[`${keys} keys`]);
  }
  if (!(await haveH2load())) {
    console.error("h2load is missing: install nghttp2 (Debian: apt-get install nghttp2-client) to run the authentication benchmark.");
    process.exitCode = process.env.GPU_ROUTER_REQUIRE_ALL === "1" ? 1 : 0;
  } else {
    const size = options.smoke ? { requests: 500, rounds: 1, agents: 5 } : { requests: Number(options.requests), rounds: Number(options.rounds), agents: Number(options.agents) };
    const share = (value) => `${(value * 100).toFixed(0)} %`;
    const inWords = ({ round, sample: { without, withKey, withQuotas } }) =>
      `  round ${round + 1}: without ${without.rate.toFixed(0)}/s, ${without.cpuUs.toFixed(0)} µs; with a key ${share(withKey.ratio)}, by CPU time ${share(withKey.cpuRatio)}; with quotas too ${share(withQuotas.ratio)}, ${share(withQuotas.cpuRatio)}`;
    for (const scenario of ["waiting", "lives"]) {
      say(`Route, ${scenario}, and what is left of it with authentication and quotas:`);
      const samples = await benchAuth({ scenario, ...size, onRound: (round) => say(inWords(round)) });
      results.auth.route[scenario] = samples;
      for (const [name, words] of [["withKey", "with a key"], ["withQuotas", "with a key and quotas"]]) {
        line(`${words}, share of without`, summary(samples.map((sample) => sample[name].ratio * 100)), "%", budgets.auth[`${scenario}, ${words}`]);
        if (process.platform === "linux") line("  the same by CPU time of the router", summary(samples.map((sample) => sample[name].cpuRatio * 100)), "%", budgets.auth[`${scenario}, ${words}, CPU time`]);
      }
    }
  }
}

if (wanted.has("encryption")) {
  const { haveH2load } = await import("./load.mjs");
  const { benchEncryption } = await import("./encryption.mjs");
  if (!(await haveH2load())) {
    console.error("h2load is missing: install nghttp2 (Debian: apt-get install nghttp2-client) to run the benchmark of encryption.");
    process.exitCode = process.env.GPU_ROUTER_REQUIRE_ALL === "1" ? 1 : 0;
  } else {
    const size = options.smoke ? { requests: 500, rounds: 1, agents: 5 } : { requests: Number(options.requests), rounds: Number(options.rounds), agents: Number(options.agents) };
    results.encryption = {};
    for (const scenario of ["waiting", "lives"]) {
      const samples = await benchEncryption({ scenario, ...size });
      results.encryption[scenario] = samples;
      say(`Route, ${scenario}, and what is left of it when what is stored is encrypted:`);
      line("share of the calls per second", summary(samples.map(({ encrypted }) => encrypted.ratio * 100)), "%");
      if (process.platform !== "linux") continue;
      line("CPU time of the router, plain", summary(samples.map(({ without }) => without.cpuUs)), "µs a call");
      line("CPU time of the router, encrypted", summary(samples.map(({ encrypted }) => encrypted.cpuUs)), "µs a call");
    }
  }
}

if (wanted.has("route")) {
  const { haveH2load } = await import("./load.mjs");
  const { benchRoute } = await import("./route.mjs");
  if (!(await haveH2load())) {
    console.error("h2load is missing: install nghttp2 (Debian: apt-get install nghttp2-client) to run the route benchmark.");
    process.exitCode = process.env.GPU_ROUTER_REQUIRE_ALL === "1" ? 1 : 0;
  } else {
    const smoke = { requests: 500, rounds: 1, agents: 5 };
    const full = { requests: Number(options.requests), rounds: Number(options.rounds), agents: Number(options.agents) };
    results.route = await benchRoute({ ...(options.smoke ? smoke : full), onRound: ({ round, rates }) => say(`  round ${round + 1}: ${Object.entries(rates).map(([name, rate]) => `${name} ${rate.toFixed(0)}/s`).join(", ")}`) });
    say("Route, against a bare grpc-js echo of the same messages beside it:");
    for (const [name, samples] of Object.entries(results.route)) {
      line(`${name}, calls per second`, summary(samples.map(({ rate }) => rate)), "/s");
      if (name !== "echo") line(`${name}, share of the echo`, summary(samples.map(({ ratio }) => ratio * 100)), "%", budgets.route[name]);
    }
  }
}

if (options.json) console.log(JSON.stringify(results, null, 2));
process.exit();
