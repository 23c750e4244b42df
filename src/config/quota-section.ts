// The section `user_quota_manager` of the router's configuration: its keys and what the core makes of them. Part of router-config.ts.
import { z } from "zod";
import type { QuotaSettings } from "../core/model/quota.js";
import { DEFAULT_CORE_SETTINGS } from "../core/settings.js";

const { quota } = DEFAULT_CORE_SETTINGS;
const limit = (max: number): z.ZodNumber => z.int().min(0).max(max);

export const quotaSection = z
  .strictObject({
    // A section of the file counts unless it says otherwise; without one there are no quotas.
    mode: z.enum(["off", "shadow", "enforce"]).default("enforce"),
    default_gpu_limit: limit(1_000_000).default(quota.defaults.gpus),
    default_request_limit: limit(10_000_000).default(quota.defaults.concurrentRequests),
    default_priority_limit: limit(10_000_000).default(quota.defaults.priorityRequests),
    default_gpu_time_limit: limit(1_000_000_000).default(quota.defaults.gpuTimeMs / 60_000),
    gpu_time_period: z.number().min(60).max(31_536_000).default(quota.gpuTimePeriodMs / 1000),
    default_requests_per_minute: limit(10_000_000).default(quota.defaults.requestsPerMinute),
    default_requests_per_day: limit(1_000_000_000).default(quota.defaults.requestsPerDay),
    default_queued_requests_limit: limit(10_000_000).default(quota.defaults.queuedRequests),
    default_queued_bytes_limit: limit(Number.MAX_SAFE_INTEGER).default(quota.defaults.queuedBytes),
    default_model_limits: z.record(z.string().min(1).max(256), limit(10_000_000)).default({}),
    quota_check_interval: z.number().min(0.1).max(3600).default(quota.checkIntervalMs / 1000),
    max_quotas: z.int().min(1).max(1_000_000).default(quota.maxEntries),
  })
  .prefault({ mode: "off" });

/** From minutes and seconds to milliseconds. */
export function quotaOf(file: z.output<typeof quotaSection>): QuotaSettings {
  return {
    mode: file.mode,
    defaults: {
      concurrentRequests: file.default_request_limit,
      gpus: file.default_gpu_limit,
      priorityRequests: file.default_priority_limit,
      gpuTimeMs: file.default_gpu_time_limit * 60_000,
      requestsPerMinute: file.default_requests_per_minute,
      requestsPerDay: file.default_requests_per_day,
      queuedRequests: file.default_queued_requests_limit,
      queuedBytes: file.default_queued_bytes_limit,
      modelRequests: file.default_model_limits,
    },
    gpuTimePeriodMs: file.gpu_time_period * 1000,
    checkIntervalMs: file.quota_check_interval * 1000,
    maxEntries: file.max_quotas,
  };
}
