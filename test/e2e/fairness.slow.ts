// One client floods, in a load that is drawn from a real service's: ServeGen's m-large, whose busiest client sends 28 % of it. The production
// engine in virtual time, with more work than its GPUs can do: who waits gets his share, and who sends little hardly waits.
import { existsSync } from "node:fs";
import path from "node:path";
import { expect } from "@jest/globals";
import { DEFAULT_CORE_SETTINGS } from "../../src/core/settings.js";
import { simpleFleet } from "../../src/sim/fleets.js";
import type { SimulatedRun } from "../../src/sim/result.js";
import { NO_FAULTS, simulate } from "../../src/sim/simulation.js";
import type { Arrival, Tenant } from "../../src/sim/workload/arrival.js";
import { readServegen } from "../../src/sim/workload/formats/servegen.js";
import { servegenStream } from "../../src/sim/workload/servegen-stream.js";
import { seededRandom } from "../../src/lib/random.js";
import { serviceTimes } from "../../src/simulated-gpu/service-times.js";
import { testWith } from "./requirement.js";

const LARGE = path.resolve("../shared/traces/servegen/m-large.clients-10min.csv.gz");
const SEED = 7;
const CLIENTS = 100;
const MODEL = "llama-3.1-8b";
const GPUS = 2;
/** Requests that a GPU works on at a time. */
const SLOTS = 8;
const MINUTE_MS = 60_000;
const DURATION_MS = 10 * MINUTE_MS;
/** The ten minutes of the trace in which the busiest client sends what it sends over the day: 28 % of all. */
const START_MS = 45_600_000;
/** Between these the line is never empty, and nobody has yet run out of work. */
const FROM_MS = 2 * MINUTE_MS;

interface Load {
  readonly tenants: readonly Tenant[];
  readonly arrivals: readonly Arrival[];
}

/** A share of ten minutes of the busiest clients, by lot. */
async function load(share: number, without = -1): Promise<Load> {
  const stream = servegenStream(await readServegen(LARGE), CLIENTS);
  const random = seededRandom(SEED);
  const arrivals: Arrival[] = [];
  for (const { atMs, sender, inputTokens, outputTokens } of stream.requests(SEED, START_MS)) {
    if (atMs >= START_MS + DURATION_MS) break;
    if (random() >= share || sender === without) continue;
    arrivals.push({ atMs: atMs - START_MS, tenant: sender, inputTokens: Math.min(inputTokens, 8_000), outputTokens: Math.min(Math.max(1, outputTokens), 1_000), prefixHashes: [], sessionKey: "", gpus: 1, workMs: 0 });
  }
  return { tenants: stream.senders.map((name) => ({ name, modelId: MODEL, type: "inference", priority: 3, slo: null })), arrivals };
}

function run({ tenants, arrivals }: Load): SimulatedRun {
  return simulate({
    policy: "test",
    scenario: "m-large",
    load: 1,
    seed: SEED,
    settings: { ...DEFAULT_CORE_SETTINGS, requestTimeoutMs: 0, maxWaitMs: Number.POSITIVE_INFINITY, maxConcurrentTasksPerGpu: SLOTS, memoryThreshold: 1, utilizationThreshold: 1.1 },
    fleet: simpleFleet([{ kind: "A100-80GB", gpus: GPUS, nodes: 1 }]),
    workload: { tenants, durationMs: DURATION_MS, arrivals: () => arrivals },
    loaded: Array.from({ length: GPUS }, () => [MODEL]),
    types: Array.from({ length: GPUS }, () => []),
    models: [MODEL],
    modelLoadSpeed: 1,
    prefixCacheTokens: 0,
    faults: NO_FAULTS,
    drainMs: 10_000 * MINUTE_MS,
    tellLengths: true,
  });
}

const { prefillMsPerToken, stepBaseMs, stepMsPerRequest } = serviceTimes("A100-80GB", MODEL);
/** What a written token takes of a GPU that writes eight answers at once, ms. */
const WRITE_MS_PER_TOKEN = stepMsPerRequest + stepBaseMs / SLOTS;

/** GPU time of a request, ms. */
function costMs(input: number, output: number): number {
  return input * prefillMsPerToken + output * WRITE_MS_PER_TOKEN;
}

/** GPU time of the requests that each tenant had placed between two times. */
function service({ requests, tenants }: SimulatedRun, fromMs: number, untilMs: number): number[] {
  const got = tenants.map(() => 0);
  for (let row = 0; row < requests.count; row += 1) {
    const placedAtMs = requests.placedAtMs[row]!;
    if (placedAtMs >= fromMs && placedAtMs < untilMs) got[requests.tenant[row]!]! += costMs(requests.inputTokens[row]!, requests.outputTokens[row]!);
  }
  return got;
}

/** Tenants that have something waiting at every moment between two times, sampled each second. */
function backlogged({ requests, tenants }: SimulatedRun, fromMs: number, untilMs: number): number[] {
  const seconds = Math.floor((untilMs - fromMs) / 1_000);
  const waits = tenants.map(() => new Uint8Array(seconds));
  for (let row = 0; row < requests.count; row += 1) {
    const first = Math.max(0, Math.ceil((requests.arrivedAtMs[row]! - fromMs) / 1_000));
    const last = Math.min(seconds, Math.ceil((requests.placedAtMs[row]! - fromMs) / 1_000));
    waits[requests.tenant[row]!]!.fill(1, first, Math.max(first, last));
  }
  return waits.flatMap((seen, tenant) => (seen.every((one) => one === 1) ? [tenant] : []));
}

function jain(values: readonly number[]): number {
  const sum = values.reduce((so, value) => so + value, 0);
  return sum ** 2 / (values.length * values.reduce((so, value) => so + value ** 2, 0));
}

function placedBetween({ requests }: SimulatedRun, fromMs: number, untilMs: number): number {
  return requests.placedAtMs.subarray(0, requests.count).filter((atMs) => atMs >= fromMs && atMs < untilMs).length;
}

function p95WaitMs({ requests }: SimulatedRun, of: ReadonlySet<number>): number {
  const waits: number[] = [];
  for (let row = 0; row < requests.count; row += 1) if (of.has(requests.tenant[row]!)) waits.push(requests.placedAtMs[row]! - requests.arrivedAtMs[row]!);
  return waits.sort((a, b) => a - b)[Math.floor(waits.length * 0.95)]!;
}

const fair = testWith(existsSync(LARGE), `${LARGE} is not there: fairness on a real service's load`);

fair(
  "whoever waits has had the same GPU time as the others who wait, and the flood at 1.3 times what the GPUs can do costs light users little",
  async () => {
    // Far too much work: whatever is placed is all that these GPUs can do.
    const many = await load(0.12);
    const saturated = run(many);
    const waiting = backlogged(saturated, FROM_MS, DURATION_MS);
    const got = service(saturated, FROM_MS, DURATION_MS);
    expect(waiting.length).toBeGreaterThanOrEqual(3);
    expect(jain(waiting.map((tenant) => got[tenant]!))).toBeGreaterThanOrEqual(0.95);

    const capacity = (placedBetween(saturated, FROM_MS, DURATION_MS) / (DURATION_MS - FROM_MS)) * DURATION_MS;
    const share = (0.12 * 1.3 * capacity) / many.arrivals.length;
    const all = await load(share);
    const sent = all.tenants.map((_, tenant) => all.arrivals.filter((one) => one.tenant === tenant).length);
    const flooder = sent.indexOf(Math.max(...sent));
    expect(sent[flooder]! / all.arrivals.length).toBeGreaterThan(0.27);
    // Light is who wants less than half of an equal share of the GPUs, however many requests that is.
    const wanted = all.tenants.map((_, tenant) => all.arrivals.filter((one) => one.tenant === tenant).reduce((sum, one) => sum + costMs(one.inputTokens, one.outputTokens), 0));
    const senders = wanted.filter((ms) => ms > 0).length;
    const total = wanted.reduce((sum, ms) => sum + ms, 0);
    const light = new Set(wanted.flatMap((ms, tenant) => (ms > 0 && ms < total / senders / 2 ? [tenant] : [])));
    expect(light.size).toBeGreaterThan(5);
    const flooded = p95WaitMs(run(all), light);
    const calm = p95WaitMs(run(await load(share, flooder)), light);
    process.stderr.write(`m-large: Jain ${jain(waiting.map((tenant) => got[tenant]!)).toFixed(3)} of ${waiting.length} users; p95 wait of light users ${Math.round(flooded)} ms, ${Math.round(calm)} ms without the flood\n`);
    expect(flooded).toBeLessThanOrEqual(2 * calm);
  },
  120_000,
);
