import { isBackground } from "../../model/request.js";
import { keepAll, type FromSettings, type RequestFilter } from "../contract.js";
import type { Prediction } from "../prediction.js";

/**
 * Work in the background, and what is late, take only a share of what requests with a promise can bear: they may lengthen an iteration up
 * to a limit, and no long prompt of theirs may stand before others. Where no model's callers were promised anything there is no limit.
 */
export const batchShare =
  (prediction: Prediction): FromSettings<RequestFilter> =>
  ({ hybrid }) => ({
    name: "batch_share",
    healsWithTime: true,
    bySize: true,
    applies: ({ spec, late, estimate }) => (late || isBackground(spec)) && estimate.outputTokens !== undefined,
    needed: () => "a GPU whose interactive requests leave room for work without a deadline",
    shortfall: {
      unit: "ms too much for an iteration of its, or for the prompt to be read",
      by(fleet, ask, gpu) {
        const { addedStepMs, firstOutputAtMs } = prediction.makeFor(fleet, ask, gpu);
        const { stepMs, batchStepLimitMs } = fleet.work;
        return Math.max(stepMs[gpu]! + addedStepMs[gpu]! - batchStepLimitMs[gpu]!, firstOutputAtMs[gpu]! - ask.nowMs - hybrid.batchPrefillMs);
      },
    },
    keep(fleet, ask, candidates, count) {
      const { addedStepMs, firstOutputAtMs } = prediction.make(fleet, ask, candidates, count);
      const { stepMs, batchStepLimitMs, held } = fleet.work;
      const readUntilMs = ask.nowMs + hybrid.batchPrefillMs;
      const own = fleet.reservations.of(ask.spec.requestId);
      let kept = 0;
      for (let k = 0; k < count; k += 1) {
        const gpu = candidates[k]!;
        const limit = batchStepLimitMs[gpu]!;
        // An idle GPU takes one of any length: it would have to go somewhere. So does one whose room is kept for it.
        const free = limit === Number.POSITIVE_INFINITY || held[gpu] === 0 || (own !== undefined && fleet.reservations.at(gpu) === own);
        if (free || (stepMs[gpu]! + addedStepMs[gpu]! <= limit && firstOutputAtMs[gpu]! <= readUntilMs)) candidates[kept++] = gpu;
      }
      return kept;
    },
    keepWhenIdle: keepAll,
    everPasses: () => true,
  });
