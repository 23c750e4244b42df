import { prefillMs } from "../../estimate/service-times.js";
import type { FromSettings, RequestFilter } from "../contract.js";

/**
 * Work that nobody waits for takes only a share of what interactive requests can bear: it may lengthen an iteration up to a limit, and
 * no long prompt of it may stand before theirs. Where no model is asked interactively there is no limit.
 */
export const batchShare: FromSettings<RequestFilter> = ({ hybrid }) => ({
  name: "batch_share",
  healsWithTime: true,
  applies: ({ spec, late, estimate }) => (late || spec.wishes === undefined) && estimate.outputTokens !== undefined,
  needed: () => "a GPU whose interactive requests leave room for work without a deadline",
  keep(fleet, { spec, estimate, nowMs }, candidates, count) {
    const { kind, stepMs, batchStepLimitMs, prefillUntilMs, held } = fleet.work;
    const times = fleet.work.times.of(spec.modelId);
    const { prefillMsPerToken, stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = times;
    const counts = fleet.work.countsOf(times);
    const { inputTokens = 0, outputTokens = 0 } = estimate;
    const tokens = inputTokens + outputTokens;
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const limit = batchStepLimitMs[gpu]!;
      if (limit === Number.POSITIVE_INFINITY) {
        candidates[kept++] = gpu;
        continue;
      }
      const ofKind = kind[gpu]!;
      const step = stepMs[gpu]! + stepMsPerRequest[ofKind]! + tokens * stepMsPerKvToken[ofKind]! + (counts && counts[gpu]! > 0 ? 0 : stepBaseMs[ofKind]!);
      const readsForMs = Math.max(0, prefillUntilMs[gpu]! - nowMs) + prefillMs(prefillMsPerToken[ofKind]!, inputTokens, step);
      // An idle GPU takes one of any length: it would have to go somewhere.
      if (held[gpu] === 0 || (step <= limit && readsForMs <= hybrid.batchPrefillMs)) candidates[kept++] = gpu;
    }
    return kept;
  },
  everPasses: () => true,
});
