// From the core's decisions to Explain's answer: the figures as they are, and the same in one sentence.
// Called by `router-service.ts`; computes nothing that the decision does not hold.
import { create } from "@bufbuild/protobuf";
import { ExplainResponseSchema, type ExplainResponse } from "../../../gen/gpurouter/v1/router_pb.js";
import { expectedTime, type Candidate, type Decision } from "../../core/model/decision.js";
import { uint32, uint64 } from "./scalars.js";

/** The answer of Explain; `before` goes before its sentence. */
export function explainResponse(decision: Decision, dryRun: boolean, before = ""): ExplainResponse {
  return create(ExplainResponseSchema, {
    decision: {
      strategy: decision.strategy,
      considered: uint32(decision.considered),
      filters: decision.filters.map(({ filter, removed, needed }) => ({ filter, removed: uint32(removed), needed })),
      candidates: decision.candidates.map((candidate) => shownCandidate(candidate, decision.scorers)),
      seed: uint32(decision.seed),
      estimate: shownEstimate(decision),
    },
    dryRun,
    summary: before + summary(decision),
  });
}

function shownEstimate(decision: Decision) {
  const { memoryMib, inputTokens = 0, outputTokens = 0 } = decision.estimate;
  const { durationMs, source } = expectedTime(decision);
  return { memoryMib: uint32(memoryMib), durationMs: uint64(durationMs), source, inputTokens: uint32(inputTokens), outputTokens: uint32(outputTokens), durationP90Ms: uint64(decision.estimate.p90Ms ?? 0) };
}

function shownCandidate({ gpuId, score, values, telemetryAgeMs }: Candidate, scorers: Decision["scorers"]) {
  return {
    gpuId,
    score,
    terms: values.map((value, place) => ({ scorer: scorers[place]?.scorer ?? "", value, weight: scorers[place]?.weight ?? 0 })),
    ...(telemetryAgeMs >= 0 && { telemetryAgeMs: uint64(telemetryAgeMs) }),
  };
}

/**
 * Such as "least_loaded chose sim-2 with score 0.91, ahead of sim-0 with 0.64; 6 of 8 GPUs were ruled out: memory 6 (needs 24000 MiB)",
 * or, from a strategy that counts costs, "hybrid chose sim-2 at a cost of 1.20 s, ahead of sim-0 with 3.48 s".
 */
function summary({ strategy, considered, filters, candidates, scorers }: Decision): string {
  const [best, next] = candidates;
  const removed = filters.reduce((sum, { removed: count }) => sum + count, 0);
  const reasons = filters.map(({ filter, removed: count, needed }) => `${filter} ${count}${needed === "" ? "" : ` (needs ${needed})`}`);
  const ruledOut = removed === 0 ? "" : `; ${removed} of ${considered} GPUs were ruled out: ${reasons.join(", ")}`;
  if (!best) return considered === 0 ? "No GPU is connected" : `No GPU can take it now${ruledOut}`;
  const costs = scorers.length > 0 && scorers.every(({ weight }) => weight < 0);
  const unit = costs && scorers.every(({ scorer }) => scorer.endsWith("_seconds")) ? " s" : "";
  const worth = ({ score }: Candidate): string => (costs ? -score : score).toFixed(2) + unit;
  const ahead = !next ? "" : worth(next) === worth(best) ? `, as good as ${next.gpuId}` : `, ahead of ${next.gpuId} with ${worth(next)}`;
  return `${strategy} chose ${best.gpuId} ${costs ? "at a cost of" : "with score"} ${worth(best)}${ahead}${ruledOut}`;
}
