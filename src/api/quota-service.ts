// QuotaService, said once for all transports: validate, ask who may, ask the router, translate.
import { create } from "@bufbuild/protobuf";
import {
  GetQuotaRequestSchema,
  GetQuotaResponseSchema,
  ListQuotasRequestSchema,
  ListQuotasResponseSchema,
  ListUsageRequestSchema,
  ListUsageResponseSchema,
  SetQuotaRequestSchema,
  SetQuotaResponseSchema,
  type GetQuotaRequest,
  type QuotaLimits,
  type QuotaService,
} from "../../gen/gpurouter/v1/quota_pb.js";
import type { QuotaOverride } from "../core/model/quota.js";
import type { QuotaPort, QuotaSubject } from "./quota-port.js";
import type { ServiceHandlers } from "./service-handlers.js";
import { quotaMessage, usageMessage } from "./to-proto/quota.js";
import { createValidation } from "./validation.js";

const DEFAULT_PAGE_SIZE = 100;
const MINUTE_MS = 60_000;

/** What a caller wants to do with whose quota; no subject for all. */
export interface QuotaAct {
  readonly kind: "read" | "write";
  readonly of: QuotaSubject | null;
}

/** Throws ApiError unless the caller may; returns the caller's name. */
export type QuotaGuard = (act: QuotaAct) => string;

/** Callers are not told apart yet: everybody may everything. */
const LOCAL: QuotaGuard = () => "local";

/** The handlers of QuotaService. `guard` is the one place that says who may. */
export function createQuotaService(quotas: QuotaPort, guard: QuotaGuard = LOCAL): ServiceHandlers<typeof QuotaService> {
  const validate = createValidation();
  return {
    getQuota(request) {
      validate(GetQuotaRequestSchema, request);
      const subject = subjectOf(request.subject);
      guard({ kind: "read", of: subject });
      return create(GetQuotaResponseSchema, { quota: quotaMessage(quotas.quota(subject)) });
    },

    async setQuota(request) {
      validate(SetQuotaRequestSchema, request);
      const subject = subjectOf(request.subject);
      const by = guard({ kind: "write", of: subject });
      const override = request.limits ? overrideOf(request.limits, subject) : {};
      const quota = await quotas.setQuota({ ...subject, override, reset: request.reset, by, reason: request.reason });
      return create(SetQuotaResponseSchema, { quota: quotaMessage(quota) });
    },

    listQuotas(request) {
      validate(ListQuotasRequestSchema, request);
      guard({ kind: "read", of: null });
      const { items, lastName } = quotas.quotas(request.pageToken, request.pageSize || DEFAULT_PAGE_SIZE);
      return create(ListQuotasResponseSchema, { quotas: items.map(quotaMessage), nextPageToken: lastName });
    },

    listUsage(request) {
      validate(ListUsageRequestSchema, request);
      const { userId } = request;
      guard({ kind: "read", of: userId === "" ? null : { subject: "user", subjectId: userId } });
      const { items, lastName } = quotas.usage(userId, request.pageToken, request.pageSize || DEFAULT_PAGE_SIZE);
      return create(ListUsageResponseSchema, { users: items.map(usageMessage), nextPageToken: lastName });
    },
  };
}

/** Validated: one of the two is there. */
function subjectOf({ case: kind, value = "" }: GetQuotaRequest["subject"]): QuotaSubject {
  return { subject: kind === "teamId" ? "team" : "user", subjectId: value };
}

function overrideOf(limits: QuotaLimits, { subject }: QuotaSubject): QuotaOverride {
  const set = <K extends keyof QuotaOverride>(key: K, value: bigint | undefined, unit = 1): Partial<Record<K, number>> =>
    (value === undefined ? {} : { [key]: Number(value) * unit }) as Partial<Record<K, number>>;
  const models = Object.entries(limits.modelLimits).map(([model, limit]) => [model, Number(limit)] as const);
  return {
    ...set("gpuTimeMs", limits.gpuTimeLimit, MINUTE_MS),
    ...set("concurrentRequests", limits.concurrentRequestsLimit),
    ...set("priorityRequests", limits.priorityRequestsLimit),
    ...set("gpus", limits.gpuLimit),
    ...set("requestsPerMinute", limits.requestsPerMinuteLimit),
    ...set("requestsPerDay", limits.requestsPerDayLimit),
    ...set("queuedRequests", limits.queuedRequestsLimit),
    ...set("queuedBytes", limits.queuedBytesLimit),
    ...(models.length > 0 && { modelRequests: Object.fromEntries(models) }),
    ...(subject === "user" && limits.weight !== undefined && { weight: limits.weight }),
    ...(subject === "user" && limits.teamId !== undefined && { team: limits.teamId }),
  };
}
