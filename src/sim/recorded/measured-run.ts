// What really happened, in the shape of a simulated run, so that the same figures are made of both; and who was in time, for both by the
// same rule.
import type { GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import { OUTCOMES, type SimulatedRun } from "../result.js";
import type { RecordedTraffic } from "./traffic.js";
import type { RecordedWorkload } from "./workload.js";

const TIMELINE_MS = 5_000;
const PRIORITIES = 5;
const COMPLETED = OUTCOMES.indexOf("completed");

/** The recorded run. Prefix caches are the engines' own affair: nothing is known of them. */
export function measuredRun(traffic: RecordedTraffic, { tenants, list }: RecordedWorkload, kinds: readonly GpuKind[]): SimulatedRun {
  const { requests, gpus, fromMs, untilMs, busyMs, events } = traffic;
  const gpuOf = new Map(gpus.map(({ inventory }, index) => [inventory.gpuId as string, index]));
  return {
    policy: "measured",
    scenario: "recording",
    load: 1,
    seed: 1,
    durationMs: untilMs - fromMs,
    gpus: gpus.map(({ inventory }, index) => ({ gpuId: inventory.gpuId, kind: kinds[index] ?? "" })),
    tenants,
    requests: {
      count: requests.length,
      tenant: Uint16Array.from(list, ({ tenant }) => tenant),
      arrivedAtMs: Float64Array.from(list, ({ atMs }) => atMs),
      placedAtMs: Float64Array.from(requests, ({ placedAtMs }) => placedAtMs - fromMs),
      firstOutputAtMs: Float64Array.from(requests, ({ firstOutputAtMs }) => firstOutputAtMs - fromMs),
      endedAtMs: Float64Array.from(requests, ({ endedAtMs }) => endedAtMs - fromMs),
      outcome: Uint8Array.from(requests, ({ outcome }) => OUTCOMES.indexOf(outcome)),
      inSlo: new Uint8Array(requests.length),
      attempts: Uint8Array.from(requests, ({ attempts }) => Math.min(255, attempts)),
      inputTokens: Uint32Array.from(list, ({ inputTokens }) => inputTokens),
      cachedTokens: new Uint32Array(requests.length),
      outputTokens: Uint32Array.from(list, ({ outputTokens }) => outputTokens),
      gpu: Int32Array.from(requests, ({ gpuId }) => gpuOf.get(gpuId) ?? -1),
    },
    timeline: { everyMs: TIMELINE_MS, busy: [], running: [], waiting: Array.from({ length: PRIORITIES }, () => []) },
    busyMs,
    wallMs: 0,
    events,
  };
}

/** Marks each completed request that kept its wishes; one that it does not have is kept. Work that streams nothing gives its output at its end. */
export function judged(run: SimulatedRun): SimulatedRun {
  const { count, tenant, arrivedAtMs, firstOutputAtMs, endedAtMs, outcome } = run.requests;
  const inSlo = new Uint8Array(count);
  for (let row = 0; row < count; row += 1) {
    const slo = run.tenants[tenant[row] ?? 0]?.slo ?? null;
    if (!slo || outcome[row] !== COMPLETED) continue;
    const arrived = arrivedAtMs[row] ?? 0;
    const totalMs = (endedAtMs[row] ?? Number.NaN) - arrived;
    const first = (firstOutputAtMs[row] ?? Number.NaN) - arrived;
    const firstMs = Number.isNaN(first) ? totalMs : first;
    if ((slo.firstOutputMs === 0 || firstMs <= slo.firstOutputMs) && (slo.totalFloorMs === 0 || totalMs <= slo.totalFloorMs)) inSlo[row] = 1;
  }
  return { ...run, requests: { ...run.requests, inSlo } };
}
