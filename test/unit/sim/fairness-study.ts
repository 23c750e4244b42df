// One client floods, three times: the production engine in virtual time with far more work than its GPUs can do, which tells what they can
// do; with 1.3 times that; and with the same but for the flood. What the words mean is in fairness-measures.ts.
import type { Event } from "../../../src/core/events.js";
import { DEFAULT_CORE_SETTINGS } from "../../../src/core/settings.js";
import { simpleFleet } from "../../../src/sim/fleets.js";
import { NO_FAULTS } from "../../../src/sim/faults.js";
import { simulate } from "../../../src/sim/simulation.js";
import type { TenantSlo } from "../../../src/sim/workload/arrival.js";
import { askedMs, backlogged, givenMs, jain, lightUsers, p95WaitMs, priceOn, sumOf, type Served } from "./fairness-measures.js";
import { FLOODER, floodedLoad, MINUTE_MS, type Sent } from "./flooded-load.js";

export const KIND = "A100-80GB";
export const MODEL = "llama-3.1-8b";
export const GPUS = 4;
const SLOTS = DEFAULT_CORE_SETTINGS.maxConcurrentTasksPerGpu;
/** By then the line has formed, and lengths are learned. */
const FROM_MS = 2 * MINUTE_MS;
/** What the GPUs are asked for, in nominal GPU time, when it is measured what they can do. */
const SATURATION = 5;
const OVERLOAD = 1.3;

export interface FairnessStage {
  readonly strategy: string;
  readonly seed: number;
  /** How long requests arrive: minutes, from three to ten. */
  readonly minutes?: number;
  /** What every request is promised; null for nothing. */
  readonly slo?: TenantSlo | null;
  /** Of users by their index, the busiest first; 1 for the others. */
  readonly weights?: readonly number[];
}

export interface FairnessFindings {
  /** By minute: the backlogged, and Jain's index of what they were given for their weights. */
  readonly minutes: readonly { readonly backlogged: readonly number[]; readonly jain: number }[];
  /** By user: what it was given, and what it asked for, as shares of the capacity. */
  readonly given: readonly number[];
  readonly asked: readonly number[];
  readonly light: readonly number[];
  readonly lightRequests: number;
  /** What 95 % of the light users' requests did not exceed, ms. */
  readonly p95FloodedMs: number;
  readonly p95CalmMs: number;
}

const price = priceOn(KIND, MODEL, SLOTS);

/** Requests that ask for 1.3 times what the GPUs can do, in the order of time; and what they can do, GPU time a ms. */
export interface Flood {
  readonly users: readonly string[];
  readonly sent: readonly Sent[];
  readonly capacity: number;
}

/** Finds out what the GPUs can do under the stage's strategy, and asks for 1.3 times that. */
export async function floodFor(stage: FairnessStage): Promise<Flood> {
  const durationMs = durationOf(stage);
  const { users, asking } = await floodedLoad(stage.seed, durationMs, price);
  const saturated = run({ ...stage, slo: null }, users, asking(SATURATION * GPUS * durationMs), 0);
  const capacity = sumOf(givenMs(saturated, users.length, FROM_MS, durationMs)) / (durationMs - FROM_MS);
  return { users, sent: asking(OVERLOAD * capacity * durationMs), capacity };
}

export function withoutFlood(sent: readonly Sent[]): Sent[] {
  return sent.filter(({ user }) => user !== FLOODER);
}

/** All of it in the simulator. */
export async function studyFairness(stage: FairnessStage): Promise<FairnessFindings> {
  const flood = await floodFor(stage);
  const [flooded, calm] = [flood.sent, withoutFlood(flood.sent)].map((sent) => run(stage, flood.users, sent)) as [Served[], Served[]];
  return findingsOf(stage, flood, flooded, calm);
}

/** What came of the flood, and of the same without it. */
export function findingsOf(stage: FairnessStage, { users: { length: users }, sent, capacity }: Flood, flooded: readonly Served[], calm: readonly Served[]): FairnessFindings {
  const durationMs = durationOf(stage);
  const asked = askedMs(sent, users).map((ms) => ms / durationMs / capacity);
  const light = lightUsers(asked, 1);
  const { weights = [] } = stage;
  const minutes = Array.from({ length: (durationMs - FROM_MS) / MINUTE_MS }, (_, minute) => {
    const fromMs = FROM_MS + minute * MINUTE_MS;
    const waiting = backlogged(flooded, users, fromMs, fromMs + MINUTE_MS);
    const given = givenMs(flooded, users, fromMs, fromMs + MINUTE_MS);
    return { backlogged: waiting, jain: jain(waiting.map((user) => given[user]! / (weights[user] ?? 1))) };
  });
  return {
    minutes,
    given: givenMs(flooded, users, FROM_MS, durationMs).map((ms) => ms / (durationMs - FROM_MS) / capacity),
    asked,
    light,
    lightRequests: sent.filter(({ user }) => light.includes(user)).length,
    p95FloodedMs: p95WaitMs(flooded, light, FROM_MS, durationMs),
    p95CalmMs: p95WaitMs(calm, light, FROM_MS, durationMs),
  };
}

/** A line of the figures, for whoever reads along. */
export function fairnessText({ strategy, seed }: FairnessStage, { minutes, light, lightRequests, p95FloodedMs, p95CalmMs }: FairnessFindings): string {
  const least = Math.min(...minutes.map((minute) => minute.jain));
  const counts = [...new Set(minutes.map((minute) => minute.backlogged.length))].sort((a, b) => a - b);
  const waits = `${p95FloodedMs.toFixed(0)} ms, ${p95CalmMs.toFixed(0)} ms without the flood`;
  return `${strategy}, seed ${seed}: Jain at least ${least.toFixed(3)} of ${counts.join(" to ")} backlogged; p95 wait of ${light.length} light users (${lightRequests} requests) ${waits}`;
}

function durationOf({ minutes = 10 }: FairnessStage): number {
  return minutes * MINUTE_MS;
}

function run(stage: FairnessStage, users: readonly string[], sent: readonly Sent[], drainMs = Number.POSITIVE_INFINITY): Served[] {
  const { strategy, slo = null, seed, weights = [] } = stage;
  const { requests } = simulate({
    policy: strategy,
    scenario: "m-large",
    load: OVERLOAD,
    seed,
    settings: { ...DEFAULT_CORE_SETTINGS, strategy, requestTimeoutMs: 0, memoryThreshold: 1, utilizationThreshold: 1.1 },
    fleet: simpleFleet([{ kind: KIND, gpus: GPUS, nodes: 1 }]),
    workload: {
      tenants: users.map((name) => ({ name, modelId: MODEL, type: "inference", priority: 3, slo })),
      durationMs: durationOf(stage),
      arrivals: () => sent.map(({ atMs, user, inputTokens, outputTokens }) => ({ atMs, tenant: user, inputTokens, outputTokens, prefixHashes: [], sessionKey: "", gpus: 1, workMs: 0 })),
    },
    loaded: Array.from({ length: GPUS }, () => [MODEL]),
    types: Array.from({ length: GPUS }, () => []),
    models: [MODEL],
    modelLoadSpeed: 1,
    prefixCacheTokens: 0,
    faults: NO_FAULTS,
    drainMs,
    tellLengths: false,
    atStart: weights.map((weight, user): Event => ({ kind: "set_quota", subject: "user", subjectId: users[user]!, override: { weight }, by: "", reason: "" })),
  });
  return sent.map(({ user, atMs, costMs }, row) => {
    const placedAtMs = requests.placedAtMs[row]!;
    return { user, arrivedAtMs: atMs, placedAtMs: Number.isNaN(placedAtMs) ? Number.POSITIVE_INFINITY : placedAtMs, costMs };
  });
}
