// A run written by hand, for tests of what is measured of it.
import { OUTCOMES, type SimulatedOutcome, type SimulatedRun } from "../../../src/sim/result.js";
import type { Tenant } from "../../../src/sim/workload/arrival.js";

export interface MadeRequest {
  readonly tenant: number;
  readonly at: number;
  readonly placed?: number;
  readonly first?: number;
  readonly ended?: number;
  readonly outcome: SimulatedOutcome;
  readonly inSlo?: true;
  readonly input?: number;
  readonly cached?: number;
  readonly output?: number;
  readonly gpu?: number;
}

const SLO = { firstOutputMs: 2000, totalFloorMs: 2000, totalFactor: 2.5 };

/** Two models of one user, another user, and batch work. */
export const TENANTS: readonly Tenant[] = [
  { name: "ann", modelId: "llama-3.1-8b", type: "inference", priority: 5, slo: SLO },
  { name: "ann", modelId: "mistral-7b", type: "inference", priority: 5, slo: SLO },
  { name: "ben", modelId: "llama-3.1-8b", type: "inference", priority: 2, slo: SLO },
  { name: "batch", modelId: "llama-3.1-8b", type: "batch", priority: 1, slo: null },
];

/** A run of 20 s on two GPUs, with 10 s of arrivals. */
export function madeRun(requests: readonly MadeRequest[], changes: Partial<SimulatedRun> = {}): SimulatedRun {
  const column = (of: (request: MadeRequest) => number): Float64Array => Float64Array.from(requests, of);
  return {
    policy: "made",
    scenario: "made",
    load: 1,
    seed: 1,
    durationMs: 20_000,
    gpus: [
      { gpuId: "a", kind: "H100-80GB" },
      { gpuId: "b", kind: "L40S" },
    ],
    tenants: TENANTS,
    requests: {
      count: requests.length,
      tenant: Uint16Array.from(requests, ({ tenant }) => tenant),
      arrivedAtMs: column(({ at }) => at),
      placedAtMs: column(({ placed }) => placed ?? Number.NaN),
      firstOutputAtMs: column(({ first }) => first ?? Number.NaN),
      endedAtMs: column(({ ended }) => ended ?? Number.NaN),
      outcome: Uint8Array.from(requests, ({ outcome }) => OUTCOMES.indexOf(outcome)),
      inSlo: Uint8Array.from(requests, ({ inSlo }) => (inSlo ? 1 : 0)),
      attempts: Uint8Array.from(requests, ({ placed }) => (placed === undefined ? 0 : 1)),
      inputTokens: Uint32Array.from(requests, ({ input }) => input ?? 0),
      cachedTokens: Uint32Array.from(requests, ({ cached }) => cached ?? 0),
      outputTokens: Uint32Array.from(requests, ({ output }) => output ?? 0),
      gpu: Int32Array.from(requests, ({ gpu }) => gpu ?? -1),
    },
    timeline: { everyMs: 5000, busy: [0.5, 1, 0.1, 0], running: [1, 2, 1, 0], waiting: [[0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]] },
    busyMs: [10_000, 4_000],
    wallMs: 1,
    events: 1,
    ...changes,
  };
}
