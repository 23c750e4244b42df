// The cost of a decision, beside a plain single-pass scan over the same columns, in turn in the same rounds; and of whole steps
// of the engine, with an empty line and with 10,000 waiting; and of a decision by each strategy. Stands alone: node test/bench/decision.mjs [--json]
import { pathToFileURL } from "node:url";
import { Engine } from "../../dist/src/core/engine.js";
import { NO_WISHES } from "../../dist/src/core/model/request.js";
import { DEFAULT_CORE_SETTINGS } from "../../dist/src/core/settings.js";
import { benchSpec, connectNodes } from "./engine-fixture.mjs";

const ROUNDS = 15;
const WAITING = 10_000;

/** What any scheduler must at least do: look at each GPU once, drop what cannot, keep the best. No reasons, no ties, no runners-up. */
function plainScan(fleet, memoryMib) {
  const { weights } = DEFAULT_CORE_SETTINGS;
  const { blocked, roomMib, memoryTotalMib, effectiveUsedMib, effectiveUtilization, computeCapability, performanceIndex, temperatureCelsius, powerUsageWatts, powerLimitWatts, size } = fleet;
  const { errorRate } = fleet.health;
  let best = -1;
  let bestScore = -1;
  for (let gpu = 0; gpu < size; gpu += 1) {
    if (blocked[gpu] !== 0 || roomMib[gpu] < memoryMib) continue;
    const usage = 0.6 * (1 - effectiveUsedMib[gpu] / memoryTotalMib[gpu]) + 0.4 * (1 - effectiveUtilization[gpu]);
    const compatibility = computeCapability[gpu] >= 7_000 ? 1 : 0.5;
    const temperature = Math.min(1, Math.max(0, (100 - temperatureCelsius[gpu]) / 50));
    const health = 0.4 * temperature + 0.3 * (1 - powerUsageWatts[gpu] / powerLimitWatts[gpu]) + 0.3 * (1 - errorRate[gpu]);
    const score = weights.usage * usage + weights.priority * 0.6 + weights.type_compatibility * compatibility + weights.performance * performanceIndex[gpu] + weights.health * health;
    if (score <= bestScore) continue;
    best = gpu;
    bestScore = score;
  }
  return best;
}

function newEngine(gpus, settings = {}) {
  const engine = new Engine({ ...DEFAULT_CORE_SETTINGS, requestTimeoutMs: 0, maxQueuedRequests: 1_000_000, maxQueuedBytes: Number.MAX_SAFE_INTEGER, ...settings });
  engine.step({ kind: "take_over", epoch: 1 }, 0);
  connectNodes(engine, gpus);
  return engine;
}

function spec(id, modelId = "llama-2-70b", memoryMib = 0) {
  const base = benchSpec(id);
  return { ...base, modelId, requirements: { ...base.requirements, memoryMib } };
}

const END = { outcome: "succeeded", error: null, result: new Uint8Array(64), resultContentType: "text/plain", statistics: null };

/** Ends the live attempt of a request. */
function finish(engine, id) {
  const { nodeId, attempt } = engine.state.requests.get(id);
  engine.step({ kind: "attempt_ended", nodeId, ref: { requestId: id, attempt }, end: END }, 3);
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** µs per call of each case: the cases take turns within a round, so that what else runs here hits all alike. The first rounds warm up. */
function measure(cases, calls) {
  const samples = cases.map(() => []);
  for (let round = -3; round < ROUNDS; round += 1) {
    cases.forEach(({ run }, index) => {
      const startedAt = performance.now();
      for (let call = 0; call < calls; call += 1) run();
      if (round >= 0) samples[index].push(((performance.now() - startedAt) * 1_000) / calls);
    });
  }
  return cases.map(({ name }, index) => ({ name, medianUs: median(samples[index]), bestUs: Math.min(...samples[index]) }));
}

function decisions(gpus, calls) {
  const engine = newEngine(gpus);
  const { fleet } = engine.state;
  const plain = spec("plain");
  const withMemory = spec("with-memory", "llama-2-70b", 1_000);
  // A GPU changes before each, as after a placement, so that nothing can be answered from the last time.
  let turn = 0;
  const touch = () => fleet.refresh(turn++ % gpus, false);
  return measure(
    [
      { name: "plain scan", run: () => { touch(); plainScan(fleet, 0); } },
      { name: "decision", run: () => { touch(); engine.explain(plain, 2); } },
      { name: "plain scan, memory", run: () => { touch(); plainScan(fleet, 1_000); } },
      { name: "decision, memory", run: () => { touch(); engine.explain(withMemory, 2); } },
    ],
    calls,
  );
}

const PROMPTS = 64;
const PROMPT_BLOCKS = 16;

/** A decision by each strategy, for prompts whose first block all share and whose beginnings three GPUs each have read. */
function strategies(gpus, calls) {
  const engine = newEngine(gpus, { taskMappings: { inference: Array.from({ length: gpus }, (_, index) => `gpu_${index}`) } });
  const { fleet } = engine.state;
  for (let gpu = 0; gpu < gpus; gpu += 1) {
    fleet.outcomes.ended(gpu, 200 + ((gpu * 37) % 900), false, 1);
    fleet.work.kvCapacityTokens[gpu] = 400_000;
    fleet.work.place(gpu, { requestId: `held-${gpu}`, modelId: "llama-2-70b", inputTokens: (gpu * 97) % 8_000, outputTokens: 200, cachedTokens: 0, firstDueAtMs: Infinity, dueAtMs: Infinity }, 1);
    fleet.place(gpu, 0);
  }
  const prompts = Array.from({ length: PROMPTS }, (_, prompt) => [1, ...Array.from({ length: PROMPT_BLOCKS - 1 }, (_block, block) => 1_000 * (prompt + 1) + block)]);
  for (let gpu = 0; gpu < gpus; gpu += 1) fleet.prefixes.placed(gpu, "llama-2-70b", prompts[gpu % PROMPTS].slice(0, gpu < 3 * PROMPTS ? PROMPT_BLOCKS : 1));
  let turn = 0;
  return measure(
    engine.strategyNames.map((strategy) => {
      const specs = prompts.map((prefixHashes, prompt) => ({ ...spec(`ask-${prompt}`, "llama-2-70b", 1_000), strategy, wishes: { ...NO_WISHES, prefixHashes } }));
      return { name: strategy, run: () => { turn += 1; fleet.refresh(turn % gpus, false); engine.explain(specs[turn % PROMPTS], 2); } };
    }),
    calls,
  );
}

/** Whole lives while 100 others run: submit and place, start, end. */
function lives(gpus, calls) {
  const engine = newEngine(gpus, { maxConcurrentTasksPerGpu: 64 });
  const running = [];
  let next = 0;
  const run = () => {
    const id = `life-${next++}`;
    engine.step({ kind: "submit", spec: spec(id) }, 3);
    running.push(id);
    if (running.length <= 100) return;
    const oldest = running.shift();
    const { nodeId, attempt } = engine.state.requests.get(oldest);
    engine.step({ kind: "attempt_started", nodeId, ref: { requestId: oldest, attempt } }, 3);
    finish(engine, oldest);
  };
  return measure([{ name: "whole life", run }], calls);
}

/** A full fleet and 10,000 waiting, each of its own class or all of one: what an arrival and a release cost. */
function waiting(gpus, classes, calls) {
  const engine = newEngine(gpus, { maxConcurrentTasksPerGpu: 1 });
  let next = 0;
  const arrive = () => {
    const id = `wait-${next++}`;
    engine.step({ kind: "submit", spec: spec(id, `model-${next % classes}`) }, 3);
  };
  for (let count = 0; count < gpus + WAITING; count += 1) arrive();
  const placed = [...engine.state.requests.values()].filter((request) => request.phase !== "queued").map((request) => request.spec.requestId);
  // Requests leave in the order in which they came, so that the oldest placed one is known.
  const release = () => {
    const id = placed.shift();
    finish(engine, id);
    placed.push(`wait-${Number(id.slice(5)) + gpus}`);
  };
  const name = `${WAITING.toLocaleString("en")} waiting in ${classes.toLocaleString("en")} ${classes === 1 ? "class" : "classes"}`;
  return measure([{ name: `arrival, ${name}`, run: arrive }, { name: `release, ${name}`, run: release }], calls);
}

/** All figures: `[{ gpus, name, medianUs, bestUs }]`. */
export function benchDecisions() {
  const of = (gpus, results) => results.map((result) => ({ gpus, ...result }));
  return [
    ...[10, 100, 1_000, 10_000].flatMap((gpus) => of(gpus, decisions(gpus, gpus > 1_000 ? 300 : 2_000))),
    ...of(1_000, strategies(1_000, 1_000)),
    ...of(1_000, lives(1_000, 2_000)),
    ...of(1_000, waiting(1_000, 1, 500)),
    ...of(1_000, waiting(1_000, WAITING, 500)),
  ];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const results = benchDecisions();
  if (process.argv.includes("--json")) {
    console.log(JSON.stringify({ rounds: ROUNDS, results }, null, 2));
  } else {
    console.log(`${"GPUs".padStart(6)}  ${"".padEnd(44)} median µs   best µs`);
    for (const { gpus, name, medianUs, bestUs } of results) console.log(`${String(gpus).padStart(6)}  ${name.padEnd(44)} ${medianUs.toFixed(2).padStart(9)} ${bestUs.toFixed(2).padStart(9)}`);
  }
}
