// The simulated twin of a replay through real processes: the same requests at the same times, the same GPUs, the settings of the same
// file; and the replay's outcomes in the simulator's own columns, so that one yardstick (sim/measure.ts) measures both.
import { readFileSync } from "node:fs";
import { schedule, type ScheduledRequest, type ScheduleOptions, type TraceSource } from "../../src/cli/replay/schedule.js";
import type { CoreSettings } from "../../src/core/settings.js";
import type { GpuKind } from "../../src/simulated-gpu/gpu-kinds.js";
import { serviceTimes } from "../../src/simulated-gpu/service-times.js";
import type { SimulatedNode } from "../../src/sim/fleets.js";
import { OUTCOMES, type SimulatedRun } from "../../src/sim/result.js";
import { NO_FAULTS, simulate } from "../../src/sim/simulation.js";
import type { Arrival, Tenant, TenantSlo } from "../../src/sim/workload/arrival.js";

/** What is compared, but for the settings of the router. */
export interface Stage {
  readonly fleet: readonly SimulatedNode[];
  readonly model: string;
  readonly slo: TenantSlo;
  readonly requests: readonly ScheduledRequest[];
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

/** All of a schedule. */
export async function scheduled(sources: readonly TraceSource[], options: ScheduleOptions): Promise<ScheduledRequest[]> {
  const requests: ScheduledRequest[] = [];
  for await (const request of schedule(sources, options)) requests.push(request);
  return requests;
}

/** The kind that the simulator judges SLOs by: the median of the fleet. */
export function judgedBy({ fleet, model }: Pick<Stage, "fleet" | "model">): GpuKind {
  const kinds = fleet.flatMap(({ gpus }) => gpus.map(({ kind }) => kind as GpuKind));
  const bySpeed = kinds.toSorted((a, b) => serviceTimes(a, model).stepBaseMs - serviceTimes(b, model).stepBaseMs);
  return bySpeed[bySpeed.length >> 1]!;
}

/** Simulates what a router with these settings would make of it. */
export function simulateTwin(stage: Stage, settings: CoreSettings): SimulatedRun {
  const { fleet, model, requests } = stage;
  const tenants = tenantsOf(stage);
  const indexOf = new Map(tenants.map(({ name }, index) => [name, index]));
  const gpus = fleet.flatMap((node) => node.gpus);
  const arrivals = requests.map((request): Arrival => {
    const { dueMs: atMs, tenant, inputTokens, outputTokens, prefixHashes } = request;
    return { atMs, tenant: indexOf.get(tenant) ?? 0, inputTokens, outputTokens, prefixHashes, sessionKey: "", gpus: 1, workMs: 0 };
  });
  return simulate({
    policy: settings.strategy,
    scenario: "replay",
    load: 1,
    seed: 1,
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

/** The outcomes that a replay wrote, as the simulator would have recorded them. */
export function recordedRun(file: string, stage: Stage, policy: string): SimulatedRun {
  const lines = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line) as OutcomeLine);
  const { requests } = stage;
  if (lines.length !== requests.length) throw new Error(`The replay sent ${lines.length} requests of ${requests.length}.`);
  const tenants = tenantsOf(stage);
  const indexOf = new Map(tenants.map(({ name }, index) => [name, index]));
  const gpus = stage.fleet.flatMap((node) => node.gpus);
  const gpuOf = new Map(gpus.map(({ gpuId }, index) => [gpuId, index]));
  const times = (of: (line: OutcomeLine) => number | null): Float64Array => Float64Array.from(lines, (line) => of(line) ?? Number.NaN);
  const durationMs = lines.reduce((last, { ended_ms }) => Math.max(last, ended_ms ?? 0), 0);
  return {
    policy,
    scenario: "replay",
    load: 1,
    seed: 1,
    durationMs,
    gpus,
    tenants,
    requests: {
      count: lines.length,
      tenant: Uint16Array.from(lines, ({ tenant }) => indexOf.get(tenant) ?? 0),
      arrivedAtMs: times(({ due_ms }) => due_ms),
      placedAtMs: times(() => null),
      firstOutputAtMs: times(({ first_output_ms }) => first_output_ms),
      endedAtMs: times(({ ended_ms }) => ended_ms),
      outcome: Uint8Array.from(lines, ({ fate }) => Math.max(0, (OUTCOMES as readonly string[]).indexOf(fate))),
      inSlo: Uint8Array.from(lines, ({ in_slo }) => Number(in_slo === true)),
      attempts: Uint8Array.from(lines, ({ attempts }) => attempts),
      inputTokens: Uint32Array.from(requests, ({ inputTokens }) => inputTokens),
      cachedTokens: new Uint32Array(lines.length),
      outputTokens: Uint32Array.from(requests, ({ outputTokens }) => outputTokens),
      gpu: Int32Array.from(lines, ({ gpu_id }) => gpuOf.get(gpu_id) ?? -1),
    },
    timeline: { everyMs: 5_000, busy: [], running: [], waiting: [] },
    busyMs: gpus.map(() => 0),
    wallMs: durationMs,
    events: 0,
  };
}

function tenantsOf({ requests, model: modelId, slo }: Stage): Tenant[] {
  const priorities = new Map(requests.map(({ tenant, priority }) => [tenant, priority]));
  // The router's default.
  return [...priorities].map(([name, priority]) => ({ name, modelId, type: "inference", priority: priority || 3, slo }));
}
