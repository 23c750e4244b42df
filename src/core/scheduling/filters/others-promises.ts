import { keepAll, type Ask, type RequestFilter } from "../contract.js";
import type { Prediction } from "../prediction.js";

/** Share of the others' slack that each step of priority below 5 leaves alone: predictions err, and the most urgent should not pay for it. */
const HOLDBACK = 0.15;

/** No running request of the GPU would be pushed over its deadline: reading this prompt stops them, writing this answer slows them. */
export const othersPromises = (prediction: Prediction): RequestFilter => ({
  name: "others_promises",
  healsWithTime: true,
  bySize: true,
  applies: ({ estimate }) => estimate.outputTokens !== undefined,
  needed: () => "a GPU whose running requests can bear one more and still be in time",
  shortfall: {
    unit: "ms more than the tightest of its requests can bear",
    by(fleet, ask, gpu) {
      const { readMs, savedMs, addedStepMs } = prediction.makeFor(fleet, ask, gpu);
      const { slackMs, tightTokens, stretch } = fleet.work;
      return readMs[gpu]! - savedMs[gpu]! + tightTokens[gpu]! * addedStepMs[gpu]! * stretch[gpu]! - slackMs[gpu]! * spared(ask);
    },
  },
  keep(fleet, ask, candidates, count) {
    const { readMs, savedMs, addedStepMs } = prediction.make(fleet, ask, candidates, count);
    const { slackMs, tightTokens, mostTokens, stretch } = fleet.work;
    const share = spared(ask);
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const stopMs = readMs[gpu]! - savedMs[gpu]!;
      const perTokenMs = addedStepMs[gpu]! * stretch[gpu]!;
      const leastMs = slackMs[gpu]! * share;
      // The tightest first; then all of them, unless even the one with most to write could bear it with the slack of the tightest.
      if (stopMs + tightTokens[gpu]! * perTokenMs > leastMs) continue;
      if (stopMs + mostTokens[gpu]! * perTokenMs <= leastMs || fleet.work.bears(gpu, stopMs, perTokenMs, share)) candidates[kept++] = gpu;
    }
    return kept;
  },
  keepWhenIdle: keepAll,
  everPasses: () => true,
});

/** The share of the others' slack that a request may use. */
function spared({ spec: { priority } }: Ask): number {
  return 1 - HOLDBACK * (5 - priority);
}
