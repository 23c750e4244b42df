// Quotas and use, from the domain's words to the contract's.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { QuotaMode, QuotaSchema, UsageSchema, type Quota, type QuotaLimitsSchema, type QuotaUse, type RateUseSchema, type Usage } from "../../../gen/gpurouter/v1/quota_pb.js";
import type { QuotaOverride } from "../../core/model/quota.js";
import type { QuotaView, UsageView } from "../quota-port.js";
import { timestamp } from "./scalars.js";

const MINUTE_MS = 60_000;
const MODES = { off: QuotaMode.OFF, shadow: QuotaMode.SHADOW, enforce: QuotaMode.ENFORCE } as const;

export function quotaMessage(view: QuotaView): Quota {
  const { subject, subjectId, limits, used, refused, entry } = view;
  const use = (name: keyof typeof used, limit: number, unit = 1): UseOf => useOf(used[name] / unit, limit / unit, refused.get(name) ?? 0);
  const rate = (name: "requests_per_minute" | "requests_per_day", limit: number, resetAtMs: number): MessageInitShape<typeof RateUseSchema> => ({
    ...use(name, limit),
    resetTime: timestamp(Math.round(resetAtMs)),
  });
  const models = new Set([...Object.keys(limits.modelRequests), ...view.usedByModel.keys()]);
  return create(QuotaSchema, {
    userId: subject === "user" ? subjectId : "",
    teamId: subject === "team" ? subjectId : view.team,
    quotas: {
      gpuTime: use("gpu_time", limits.gpuTimeMs, MINUTE_MS),
      concurrentRequests: use("concurrent_requests", limits.concurrentRequests),
      priorityRequests: use("priority_requests", limits.priorityRequests),
      gpus: use("gpus", limits.gpus),
      queuedRequests: use("queued_requests", limits.queuedRequests),
      queuedBytes: use("queued_bytes", limits.queuedBytes),
      models: Object.fromEntries([...models].map((model) => [model, useOf(view.usedByModel.get(model) ?? 0, limits.modelRequests[model] ?? 0, 0)])),
    },
    rateLimits: {
      requestsPerMinute: rate("requests_per_minute", limits.requestsPerMinute, view.minuteResetAtMs),
      requestsPerDay: rate("requests_per_day", limits.requestsPerDay, view.dayResetAtMs),
    },
    weight: view.weight,
    gpuTimeResetTime: timestamp(Math.round(view.gpuTimeResetAtMs)),
    mode: MODES[view.mode],
    ...(entry && { set: limitsMessage(entry.override), setBy: entry.by, setReason: entry.reason, setTime: timestampFromMs(entry.atMs) }),
  });
}

export function usageMessage({ userId, sinceMs, accepted, completed, failed, cancelled, gpuMs, responseMs }: UsageView): Usage {
  return create(UsageSchema, {
    userId,
    requests: BigInt(accepted),
    completed: BigInt(completed),
    failed: BigInt(failed),
    cancelled: BigInt(cancelled),
    gpuTimeMs: BigInt(Math.round(gpuMs)),
    responseTimeMs: completed === 0 ? 0 : responseMs / completed,
    sinceTime: timestamp(Math.round(sinceMs)),
  });
}

/** The fields of a QuotaUse, which are among those of a RateUse. */
type UseOf = Pick<QuotaUse, "used" | "refused"> & { limit?: bigint; remaining?: bigint };

function useOf(used: number, limit: number, refused: number): UseOf {
  const whole = Math.ceil(used);
  const counted = { used: BigInt(whole), refused: BigInt(refused) };
  return limit === 0 ? counted : { ...counted, limit: BigInt(Math.floor(limit)), remaining: BigInt(Math.max(0, Math.floor(limit) - whole)) };
}

function limitsMessage(override: QuotaOverride): MessageInitShape<typeof QuotaLimitsSchema> {
  const { gpuTimeMs, concurrentRequests, priorityRequests, gpus, requestsPerMinute, requestsPerDay, queuedRequests, queuedBytes, modelRequests = {}, weight, team } = override;
  const whole = (value: number | undefined, unit = 1): bigint | undefined => (value === undefined ? undefined : BigInt(Math.round(value / unit)));
  return {
    gpuTimeLimit: whole(gpuTimeMs, MINUTE_MS),
    concurrentRequestsLimit: whole(concurrentRequests),
    priorityRequestsLimit: whole(priorityRequests),
    gpuLimit: whole(gpus),
    requestsPerMinuteLimit: whole(requestsPerMinute),
    requestsPerDayLimit: whole(requestsPerDay),
    queuedRequestsLimit: whole(queuedRequests),
    queuedBytesLimit: whole(queuedBytes),
    modelLimits: Object.fromEntries(Object.entries(modelRequests).map(([model, limit]) => [model, BigInt(limit)])),
    weight,
    teamId: team,
  };
}
