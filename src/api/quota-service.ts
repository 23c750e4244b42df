// QuotaService, said once for all transports: validate, look whose it is, ask the router, translate.
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
import type { Audit } from "../auth/audit-log.js";
import { hasRole } from "../auth/principal.js";
import type { Caller } from "./guard.js";
import { ApiError } from "./outcomes.js";
import type { QuotaPort, QuotaSubject } from "./quota-port.js";
import type { ServiceHandlers } from "./service-handlers.js";
import { quotaMessage, usageMessage } from "./to-proto/quota.js";
import { createValidation, type Validate } from "./validation.js";

const DEFAULT_PAGE_SIZE = 100;
const MINUTE_MS = 60_000;

/** The handlers of QuotaService over `quotas`; what was set is told to `audit`. Everybody sees his own and his team's, admins and readers all. */
export function createQuotaService(quotas: QuotaPort, audit: Audit, validate: Validate = createValidation()): ServiceHandlers<typeof QuotaService> {
  return {
    getQuota(request, caller) {
      validate(GetQuotaRequestSchema, request);
      const subject = subjectOf(request.subject);
      const { name } = caller.principal;
      const own = subject.subject === "user" ? subject.subjectId === name : quotas.quota({ subject: "user", subjectId: name }).team === subject.subjectId;
      if (!own) requireAll(caller);
      return create(GetQuotaResponseSchema, { quota: quotaMessage(quotas.quota(subject)) });
    },

    async setQuota(request, caller) {
      validate(SetQuotaRequestSchema, request);
      const subject = subjectOf(request.subject);
      const { reset, reason } = request;
      const override = request.limits ? overrideOf(request.limits, subject) : {};
      const quota = await quotas.setQuota({ ...subject, override, reset, by: caller.principal.name, reason });
      if ("kind" in quota) throw new ApiError(quota);
      await audit.record(caller, { act: "set quota", subject: `${subject.subject}:${subject.subjectId}`, why: reason });
      return create(SetQuotaResponseSchema, { quota: quotaMessage(quota) });
    },

    listQuotas(request) {
      validate(ListQuotasRequestSchema, request);
      const { items, lastName } = quotas.quotas(request.pageToken, request.pageSize || DEFAULT_PAGE_SIZE);
      return create(ListQuotasResponseSchema, { quotas: items.map(quotaMessage), nextPageToken: lastName });
    },

    listUsage(request, caller) {
      validate(ListUsageRequestSchema, request);
      // Who may not see all sees himself.
      const userId = request.userId === "" && !seesAll(caller) ? caller.principal.name : request.userId;
      if (userId !== caller.principal.name) requireAll(caller);
      const { items, lastName } = quotas.usage(userId, request.pageToken, request.pageSize || DEFAULT_PAGE_SIZE);
      return create(ListUsageResponseSchema, { users: items.map(usageMessage), nextPageToken: lastName });
    },
  };
}

function seesAll({ principal }: Caller): boolean {
  return hasRole(principal, "admin") || hasRole(principal, "reader");
}

function requireAll(caller: Caller): void {
  if (seesAll(caller)) return;
  caller.refused("quota of others", "needs role admin or reader");
  throw new ApiError({ kind: "permission_denied", why: `you are ${JSON.stringify(caller.principal.name)} and see your own quota and use; those of others need role admin or reader` });
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
