import { dueAtMs, firstOutputDueAtMs, isPromised } from "../../model/request.js";
import { keepAll, type RequestFilter } from "../contract.js";
import type { Prediction } from "../prediction.js";

/** The GPU can begin to answer in time and be done in time, as predicted with this request on it. Only for requests that want it. */
export const ownPromise = (prediction: Prediction): RequestFilter => ({
  name: "own_promise",
  healsWithTime: true,
  bySize: true,
  applies: ({ spec, estimate, late }) => !late && isPromised(spec) && estimate.outputTokens !== undefined,
  needed({ spec }) {
    const { firstOutputMs = 0, totalMs = 0 } = spec.wishes ?? {};
    return `a GPU that begins to answer within ${firstOutputMs || "any"} ms and is done within ${totalMs || "any"} ms of acceptance`;
  },
  shortfall: {
    unit: "ms late",
    by(fleet, ask, gpu) {
      const { firstOutputAtMs, writeMs } = prediction.makeFor(fleet, ask, gpu);
      const firstMs = firstOutputAtMs[gpu]!;
      return Math.max(firstMs - firstOutputDueAtMs(ask.spec, ask.acceptedAtMs), firstMs + writeMs[gpu]! - dueAtMs(ask.spec, ask.acceptedAtMs));
    },
  },
  keep(fleet, ask, candidates, count) {
    const { firstOutputAtMs, writeMs } = prediction.make(fleet, ask, candidates, count);
    const firstDueMs = firstOutputDueAtMs(ask.spec, ask.acceptedAtMs);
    const dueMs = dueAtMs(ask.spec, ask.acceptedAtMs);
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const firstMs = firstOutputAtMs[gpu]!;
      if (firstMs <= firstDueMs && firstMs + writeMs[gpu]! <= dueMs) candidates[kept++] = gpu;
    }
    return kept;
  },
  keepWhenIdle: keepAll,
  everPasses: () => true,
});
