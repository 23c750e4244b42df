// The simulated twin of a replay through real processes: the same requests at the same times, the same GPUs, the settings of the same
// file; and the replay's outcomes in the simulator's own columns, so that one yardstick (sim/measure.ts) measures both.
import { readFileSync } from "node:fs";
import { schedule, type ScheduledRequest, type ScheduleOptions, type TraceSource } from "../../src/cli/replay/schedule.js";
import type { CoreSettings } from "../../src/core/settings.js";
import { seededRandom } from "../../src/lib/random.js";
import type { GpuKind } from "../../src/simulated-gpu/gpu-kinds.js";
import { serviceTimes } from "../../src/simulated-gpu/service-times.js";
import type { SimulatedNode } from "../../src/sim/fleets.js";
import { OUTCOMES, type SimulatedRun } from "../../src/sim/result.js";
import { NO_FAULTS } from "../../src/sim/faults.js";
import { simulate } from "../../src/sim/simulation.js";
import type { Arrival, Tenant, TenantSlo } from "../../src/sim/workload/arrival.js";

/** What both sides have in common, but for the settings of the router. */
export interface Stage {
  readonly fleet: readonly SimulatedNode[];
  readonly model: string;
  readonly slo: TenantSlo;
  /** In the order of sending. */
  readonly requests: readonly ScheduledRequest[];
}

/** By how much a request may come later than it was due, ms: what a sender's timer, a network and an event loop make of it. */
const JITTER_MS = 2;
const ROUTER_DEFAULT_PRIORITY = 3;

/** All of a schedule. */
export async function scheduled(sources: readonly TraceSource[], options: ScheduleOptions): Promise<ScheduledRequest[]> {
  const requests: ScheduledRequest[] = [];
  for await (const request of schedule(sources, options)) requests.push(request);
  return requests;
}

/** The kind that the simulator judges SLOs by: the median of the fleet. */
export function judgedBy({ fleet, model }: Stage): GpuKind {
  const kinds = fleet.flatMap(({ gpus }) => gpus.map(({ kind }) => kind as GpuKind));
  const bySpeed = kinds.toSorted((a, b) => serviceTimes(a, model).stepBaseMs - serviceTimes(b, model).stepBaseMs);
  return bySpeed[bySpeed.length >> 1]!;
}

/** Simulates what a router with these settings would make of it. Each seed has its own jitter: how far runs differ by chance. */
export function simulateTwin(stage: Stage, settings: CoreSettings, seed: number): SimulatedRun {
  const { fleet, model, requests } = stage;
  const tenants = tenantsOf(stage);
  const indexOf = new Map(tenants.map(({ name }, index) => [name, index]));
  const random = seededRandom(seed);
  const arrivals = requests
    .map(({ dueMs, tenant, inputTokens, outputTokens, prefixHashes }): Arrival => {
      return { atMs: dueMs + random() * JITTER_MS, tenant: indexOf.get(tenant) ?? 0, inputTokens, outputTokens, prefixHashes, sessionKey: "", gpus: 1, workMs: 0 };
    })
    .sort((one, other) => one.atMs - other.atMs);
  const gpus = fleet.flatMap((node) => node.gpus);
  return simulate({
    policy: settings.strategy,
    scenario: "replay",
    load: 1,
    seed,
    settings,
    fleet,
    workload: { tenants, durationMs: arrivals.at(-1)?.atMs ?? 0, arrivals: () => arrivals },
    loaded: gpus.map(() => [model]),
    types: gpus.map(() => []),
    models: [model],
    modelLoadSpeed: 1,
    prefixCacheTokens: null,
    faults: NO_FAULTS,
    drainMs: 120_000,
    // As a replay with --hide-lengths.
    tellLengths: false,
  });
}

/** A line of `replay --outcomes`, as far as it is used. */
interface OutcomeLine {
  readonly fate: string;
  readonly tenant: string;
  readonly due_ms: number;
  readonly first_output_ms: number | null;
  readonly ended_ms: number | null;
  readonly in_slo: boolean | null;
  readonly gpu_id: string;
  readonly attempts: number;
}

/** The outcomes that a replay wrote, as the simulator would have recorded them. Placements and what GPUs did between are not known. */
export function recordedRun(file: string, stage: Stage, policy: string): SimulatedRun {
  const lines = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line) as OutcomeLine);
  const { requests } = stage;
  if (lines.length !== requests.length) throw new Error(`The replay sent ${lines.length} requests of ${requests.length}.`);
  const tenants = tenantsOf(stage);
  const indexOf = new Map(tenants.map(({ name }, index) => [name, index]));
  const gpus = stage.fleet.flatMap((node) => node.gpus);
  const gpuOf = new Map(gpus.map(({ gpuId }, index) => [gpuId, index]));
  const times = (of: (line: OutcomeLine) => number | null): Float64Array => Float64Array.from(lines, (line) => of(line) ?? Number.NaN);
  const durationMs = lines.reduce((last, { ended_ms: endedMs }) => Math.max(last, endedMs ?? 0), 0);
  return {
    policy,
    scenario: "replay",
    load: 1,
    seed: 0,
    durationMs,
    gpus,
    tenants,
    requests: {
      count: lines.length,
      tenant: Uint16Array.from(lines, ({ tenant }) => indexOf.get(tenant) ?? 0),
      arrivedAtMs: times((line) => line.due_ms),
      placedAtMs: times(() => null),
      firstOutputAtMs: times((line) => line.first_output_ms),
      endedAtMs: times((line) => line.ended_ms),
      // What else can become of a request has no end: it counts as unfinished.
      outcome: Uint8Array.from(lines, ({ fate }) => Math.max(0, (OUTCOMES as readonly string[]).indexOf(fate))),
      inSlo: Uint8Array.from(lines, (line) => Number(line.in_slo === true)),
      attempts: Uint8Array.from(lines, ({ attempts }) => attempts),
      inputTokens: Uint32Array.from(requests, ({ inputTokens }) => inputTokens),
      cachedTokens: new Uint32Array(lines.length),
      outputTokens: Uint32Array.from(requests, ({ outputTokens }) => outputTokens),
      gpu: Int32Array.from(lines, (line) => gpuOf.get(line.gpu_id) ?? -1),
    },
    timeline: { everyMs: 5_000, busy: [], running: [], waiting: [] },
    busyMs: gpus.map(() => 0),
    wallMs: durationMs,
    events: 0,
  };
}

function tenantsOf({ requests, model: modelId, slo }: Stage): Tenant[] {
  const priorities = new Map(requests.map(({ tenant, priority }) => [tenant, priority]));
  return [...priorities].map(([name, priority]) => ({ name, modelId, type: "inference", priority: priority || ROUTER_DEFAULT_PRIORITY, slo }));
}
