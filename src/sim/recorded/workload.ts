// The recorded requests as a simulated workload: when, by whom, of what length, with which wishes. A tenant is a user with one model,
// type, priority and set of wishes.
import { wishesOf } from "../../core/model/request.js";
import type { GpuKind } from "../../simulated-gpu/gpu-kinds.js";
import { workSpeed } from "../../simulated-gpu/service-times.js";
import { RecordingError } from "../../recording/step.js";
import type { ModelDemand } from "../initial-models.js";
import type { Arrival, Tenant, Workload } from "../workload/arrival.js";
import type { RecordedRequest, RecordedTraffic } from "./traffic.js";

/** What the simulator calls work that is given as time. */
export const TIMED_WORK = "training";
/** Before anything is known of a tenant's answers and durations. */
const DEFAULT_OUTPUT_TOKENS = 200;
const DEFAULT_WORK_MS = 1_000;
/** Deadlines are all different: what is left until one is rounded to steps of this share, or each would be a tenant. */
const DEADLINE_STEP = 1.05;
const MAX_TENANTS = 65_535;

export interface RecordedWorkload extends Workload {
  readonly tenants: readonly Tenant[];
  readonly list: readonly Arrival[];
  /** Requests whose length or duration nobody measured, for they did not complete: their tenant's mean stands for it. */
  readonly guessed: number;
}

interface Sums {
  completed: number;
  /** Of these, the ones whose tokens somebody counted. */
  counted: number;
  outputTokens: number;
  workMs: number;
}

/** `kindOf` gives the kind of a recorded GPU, `nameOf` the simulated model of a recorded one. Throws a RecordingError. */
export function recordedWorkload(traffic: RecordedTraffic, kindOf: (gpuId: string) => GpuKind | undefined, nameOf: (model: string) => string): RecordedWorkload {
  const tenants: Tenant[] = [];
  const placeOf = new Map<string, number>();
  const tenantOf = traffic.requests.map((request) => {
    const tenant = tenantFor(request, nameOf);
    const key = JSON.stringify(tenant);
    let place = placeOf.get(key);
    if (place === undefined) {
      if (tenants.length >= MAX_TENANTS) throw new RecordingError(`its requests differ in more than ${MAX_TENANTS} ways (user, model, type, priority, wishes): record for a shorter time`);
      place = tenants.push(tenant) - 1;
      placeOf.set(key, place);
    }
    return place;
  });
  const means = tenants.map((): Sums => ({ completed: 0, counted: 0, outputTokens: 0, workMs: 0 }));
  traffic.requests.forEach((request, index) => {
    const { statistics } = request;
    const sums = means[tenantOf[index] ?? 0];
    if (!statistics || !sums) return;
    sums.completed += 1;
    if (isCounted(statistics)) {
      sums.counted += 1;
      sums.outputTokens += statistics.outputTokens;
    }
    sums.workMs += workOf(request, statistics.runMs, kindOf);
  });
  let guessed = 0;
  const list = traffic.requests.map((request, index): Arrival => {
    const tenant = tenantOf[index] ?? 0;
    const sums = means[tenant];
    const mean = sums && sums.completed > 0 ? { outputTokens: sums.outputTokens / Math.max(1, sums.counted), workMs: sums.workMs / sums.completed } : null;
    if (!request.statistics) guessed += 1;
    const wishes = wishesOf(request.spec);
    const common = { atMs: request.arrivedAtMs - traffic.fromMs, tenant, prefixHashes: wishes.prefixHashes, sessionKey: wishes.sessionKey, gpus: wishes.gpus };
    const { requirements } = request.spec;
    if (!inTokens(request)) {
      const workMs = request.statistics ? workOf(request, request.statistics.runMs, kindOf) : mean?.workMs || requirements.expectedDurationMs || DEFAULT_WORK_MS;
      return { ...common, inputTokens: 0, outputTokens: 0, workMs: Math.max(1, workMs) };
    }
    const inputTokens = request.statistics?.inputTokens || requirements.inputTokens;
    // An answer that was measured to have no tokens, such as an embedding, is not one of unknown length.
    const outputTokens = isCounted(request.statistics) ? request.statistics.outputTokens : requirements.outputTokens || (sums && sums.counted > 0 ? Math.round(mean?.outputTokens ?? 0) : DEFAULT_OUTPUT_TOKENS);
    return { ...common, inputTokens: Math.max(1, inputTokens), outputTokens, workMs: 0 };
  });
  return { tenants, list, guessed, durationMs: (list.at(-1)?.atMs ?? 0) + 1, arrivals: () => list };
}

/** Tokens per second that each model is asked for. */
export function demandsOf({ tenants, list, durationMs }: RecordedWorkload): ModelDemand[] {
  const byModel = new Map<string, { modelId: string; inputRate: number; outputRate: number }>();
  for (const { tenant, inputTokens, outputTokens, workMs } of list) {
    const modelId = tenants[tenant]?.modelId ?? "";
    if (workMs > 0) continue;
    const sum = byModel.get(modelId) ?? { modelId, inputRate: 0, outputRate: 0 };
    sum.inputRate += (inputTokens / durationMs) * 1000;
    sum.outputRate += (outputTokens / durationMs) * 1000;
    byModel.set(modelId, sum);
  }
  return [...byModel.values()];
}

function tenantFor(request: RecordedRequest, nameOf: (model: string) => string): Tenant {
  const { spec, arrivedAtMs } = request;
  const { firstOutputMs, totalMs, deadlineAtMs } = wishesOf(spec);
  const untilDeadlineMs = deadlineAtMs > 0 ? rounded(Math.max(1, deadlineAtMs - arrivedAtMs)) : 0;
  const wishedMs = totalMs > 0 && untilDeadlineMs > 0 ? Math.min(totalMs, untilDeadlineMs) : totalMs || untilDeadlineMs;
  return {
    name: spec.userId === "" ? "(nobody)" : spec.userId,
    modelId: inTokens(request) ? nameOf(spec.modelId) : TIMED_WORK,
    type: spec.type,
    priority: spec.priority,
    slo: firstOutputMs > 0 || wishedMs > 0 ? { firstOutputMs, totalFloorMs: wishedMs, totalFactor: 0 } : null,
  };
}

function inTokens({ spec, statistics }: RecordedRequest): boolean {
  return (statistics?.outputTokens ?? 0) > 0 || (statistics?.inputTokens ?? 0) > 0 || spec.requirements.inputTokens > 0 || spec.requirements.outputTokens > 0;
}

/** Whether a runner counted tokens: a prompt has some. */
function isCounted(statistics: RecordedRequest["statistics"]): statistics is NonNullable<RecordedRequest["statistics"]> {
  return statistics !== null && (statistics.inputTokens > 0 || statistics.outputTokens > 0);
}

/** What it would have taken alone on the kind that such work is measured on. */
function workOf({ gpuId, share }: RecordedRequest, runMs: number, kindOf: (gpuId: string) => GpuKind | undefined): number {
  const kind = kindOf(gpuId);
  return runMs * share * (kind === undefined ? 1 : workSpeed(kind));
}

function rounded(ms: number): number {
  return Math.round(DEADLINE_STEP ** Math.round(Math.log(ms) / Math.log(DEADLINE_STEP)));
}
