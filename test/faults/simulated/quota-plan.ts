// Quotas as a seed draws them: each limit is there now and then, and small enough to be reached in a story.
import { NO_LIMITS, type QuotaLimits, type QuotaSettings } from "../../../src/core/model/quota.js";
import type { Draw } from "./draw.js";

export const USERS = ["ada", "bob", "eve"];
export const TEAMS = ["red", "blue"];

/** What everybody is given when all has healed: limits still, under which all that waits goes in time. */
export const QUOTA_IN_THE_END: QuotaLimits = { ...NO_LIMITS, concurrentRequests: 5, gpus: 4, priorityRequests: 3, modelRequests: { m: 4, n: 4 } };

/** `clockJumps`: periods are longer than all of these together, and begin with the story, so that a clock that is set back comes into the one before. */
export function quotaSettingsOf(draw: Draw, clockJumps: boolean): QuotaSettings {
  return {
    mode: "enforce",
    defaults: { ...NO_LIMITS, ...quotaOf(draw) },
    gpuTimePeriodMs: draw.pick(clockJumps ? [15_000, 86_400_000] : [2_000, 5_000, 86_400_000]),
    checkIntervalMs: draw.pick([50, 500]),
    maxEntries: 100,
  };
}

export function quotaOf(draw: Draw): QuotaLimits {
  return {
    concurrentRequests: draw.pick([0, 0, 1, 2, 4]),
    gpus: draw.pick([0, 0, 1, 2, 3]),
    priorityRequests: draw.pick([0, 0, 1, 2]),
    gpuTimeMs: draw.pick([0, 0, 0, 2_000, 20_000, 70_000]),
    requestsPerMinute: draw.pick([0, 0, 0, 4, 10]),
    requestsPerDay: draw.pick([0, 0, 0, 6, 15]),
    queuedRequests: draw.pick([0, 0, 1, 3, 8]),
    queuedBytes: draw.pick([0, 0, 250, 600]),
    modelRequests: draw.pick([{}, {}, { m: 1 }, { n: 2 }]),
  };
}
