// What an error says for machines, beside code and words: which outcome of the table it is, fields at fault, when to try again, which limit was reached. The same for gRPC
// (`grpc-status.ts`) and Connect (`connect-handlers.ts`).
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { ErrorInfoSchema, QuotaFailureSchema, RetryInfoSchema, type QuotaFailure } from "../../gen/google/rpc/error_details_pb.js";
import { overLimitText, type OverLimit } from "../core/model/quota.js";
import type { ApiError } from "./outcomes.js";

export interface ErrorDetail {
  readonly desc: DescMessage;
  readonly value: MessageShape<DescMessage>;
}

/** Of the words that ErrorInfo gives as reasons. */
const DOMAIN = "gpurouter.v1";

/** At least which outcome it is, since several share a status code; it comes last, where callers who look at the first detail do not miss what they know. */
export function errorDetails({ kind, violations, retryAfterMs, over }: ApiError): readonly ErrorDetail[] {
  const details: ErrorDetail[] = [];
  if (violations) details.push({ desc: ViolationsSchema, value: violations });
  if (retryAfterMs > 0) details.push({ desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay: durationFromMs(Math.ceil(retryAfterMs)) }) });
  if (over) details.push({ desc: QuotaFailureSchema, value: quotaFailure(over) });
  details.push({ desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { reason: kind.toUpperCase(), domain: DOMAIN }) });
  return details;
}

function quotaFailure(over: OverLimit): QuotaFailure {
  const { name, subject, subjectId, limit, used, resetAtMs } = over;
  const reset: Record<string, string> = resetAtMs > 0 && resetAtMs < Number.POSITIVE_INFINITY ? { reset_time: new Date(resetAtMs).toISOString() } : {};
  return create(QuotaFailureSchema, {
    violations: [
      {
        subject: `${subject}:${subjectId}`,
        description: overLimitText(over),
        quotaMetric: name,
        quotaId: `${name}_per_${subject}`,
        quotaDimensions: { used: String(Math.ceil(used)), ...reset },
        quotaValue: BigInt(Math.round(limit)),
      },
    ],
  });
}
