// Whether one account has room for a request: pure functions. Called by quotas.ts for a user and for his team.
import { DEFAULT_PRIORITY, wishesOf, type RequestSpec } from "../model/request.js";
import type { Account } from "./account.js";
import type { LimitName, OverLimit } from "../model/quota.js";

/**
 * The first limit that refuses a new request: rates, what waits, and what could never run. Null when there is room. `gpuMs` is what it is
 * expected to take, times its GPUs; `periodMs` is the length of a period of GPU time.
 */
export function refusedBy(account: Account, spec: RequestSpec, gpuMs: number, nowMs: number, periodMs: number): OverLimit | null {
  const { limits } = account;
  const { requestsPerMinute: perMinute, requestsPerDay: perDay } = limits;
  if (perMinute > 0 && account.minute.used(nowMs) >= perMinute) {
    return overLimit("requests_per_minute", account, spec, perMinute, account.minute.used(nowMs), 1, account.minute.roomAtMs(perMinute, nowMs));
  }
  if (perDay > 0 && account.day.used(nowMs) >= perDay) return overLimit("requests_per_day", account, spec, perDay, account.day.used(nowMs), 1, account.day.roomAtMs(perDay, nowMs));
  if (exceeds(account.queued, 1, limits.queuedRequests)) return overLimit("queued_requests", account, spec, limits.queuedRequests, account.queued, 1);
  const { byteLength } = spec.payload;
  if (exceeds(account.queuedBytes, byteLength, limits.queuedBytes)) {
    return overLimit("queued_bytes", account, spec, limits.queuedBytes, account.queuedBytes, byteLength, byteLength > limits.queuedBytes ? Number.POSITIVE_INFINITY : 0);
  }
  const { gpus } = wishesOf(spec);
  if (limits.gpus > 0 && gpus > limits.gpus) return overLimit("gpus", account, spec, limits.gpus, account.onGpu.size, gpus, Number.POSITIVE_INFINITY);
  if (limits.gpuTimeMs === 0) return null;
  const usedMs = account.gpuUsedMs(nowMs, periodMs);
  if (gpuMs > limits.gpuTimeMs) return overLimit("gpu_time", account, spec, limits.gpuTimeMs, usedMs, gpuMs, Number.POSITIVE_INFINITY);
  return usedMs >= limits.gpuTimeMs ? overLimit("gpu_time", account, spec, limits.gpuTimeMs, usedMs, gpuMs, nextPeriodMs(nowMs, periodMs)) : null;
}

/** The first limit that keeps a waiting request from any GPU; parameters as above. Null when there is room. */
export function heldBy(account: Account, spec: RequestSpec, gpuMs: number, nowMs: number, periodMs: number): OverLimit | null {
  const { limits, running, runningPriority, onGpu } = account;
  if (exceeds(running, 1, limits.concurrentRequests)) return overLimit("concurrent_requests", account, spec, limits.concurrentRequests, running, 1);
  if (spec.priority > DEFAULT_PRIORITY && exceeds(runningPriority, 1, limits.priorityRequests)) {
    return overLimit("priority_requests", account, spec, limits.priorityRequests, runningPriority, 1);
  }
  const ofModel = limits.modelRequests[spec.modelId] ?? 0;
  const onModel = ofModel > 0 ? (account.onModel.get(spec.modelId) ?? 0) : 0;
  if (exceeds(onModel, 1, ofModel)) return overLimit("model_requests", account, spec, ofModel, onModel, 1);
  // One GPU may be one that is in use already: see `gpusOpenTo`. Several are free ones.
  const { gpus } = wishesOf(spec);
  if (gpus > 1 && exceeds(onGpu.size, gpus, limits.gpus)) return overLimit("gpus", account, spec, limits.gpus, onGpu.size, gpus);
  if (limits.gpuTimeMs === 0) return null;
  const usedMs = account.gpuUsedMs(nowMs, periodMs) + account.reservedGpuMs;
  // What has come to be expected of it since it was accepted may be more than the whole limit: then it goes when nothing else counts.
  return exceeds(usedMs, Math.min(gpuMs, limits.gpuTimeMs), limits.gpuTimeMs) ? overLimit("gpu_time", account, spec, limits.gpuTimeMs, usedMs, gpuMs, nextPeriodMs(nowMs, periodMs)) : null;
}

/** Whether `gpus` more GPUs would be too many. */
export function isFull({ limits, onGpu }: Account, gpus: number): boolean {
  return exceeds(onGpu.size, gpus, limits.gpus);
}

/** What is told of a limit of `account` that `spec` runs into. `resetAtMs` as in OverLimit. */
export function overLimit(name: LimitName, { kind, id }: Account, { userId }: RequestSpec, limit: number, used: number, asked: number, resetAtMs = 0): OverLimit {
  return { name, subject: kind, subjectId: kind === "user" ? userId : id, limit, used, asked, resetAtMs };
}

/** When the period of GPU time after that of `nowMs` begins, UTC ms. */
export function nextPeriodMs(nowMs: number, periodMs: number): number {
  return (Math.floor(nowMs / periodMs) + 1) * periodMs;
}

function exceeds(used: number, asked: number, limit: number): boolean {
  return limit > 0 && used + asked > limit;
}
