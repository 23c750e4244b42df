import { prefillMs } from "../../estimate/service-times.js";
import { dueAtMs, firstOutputDueAtMs } from "../../model/request.js";
import type { RequestFilter } from "../contract.js";

/** The GPU can begin to answer in time and be done in time, as predicted with this request on it. Only for requests that want it. */
export const ownPromise: RequestFilter = {
  name: "own_promise",
  healsWithTime: true,
  applies: ({ spec, estimate, late }) => !late && spec.wishes !== undefined && estimate.outputTokens !== undefined,
  needed({ spec }) {
    const { firstOutputMs = 0, totalMs = 0 } = spec.wishes ?? {};
    return `a GPU that begins to answer within ${firstOutputMs || "any"} ms and is done within ${totalMs || "any"} ms of acceptance`;
  },
  keep(fleet, { spec, estimate, acceptedAtMs, nowMs }, candidates, count) {
    const { kind, prefillUntilMs, stepMs, stretch } = fleet.work;
    const times = fleet.work.times.of(spec.modelId);
    const { prefillMsPerToken, stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = times;
    const counts = fleet.work.countsOf(times);
    const { inputTokens = 0, outputTokens = 0 } = estimate;
    const tokens = inputTokens + outputTokens;
    const firstDueMs = firstOutputDueAtMs(spec, acceptedAtMs);
    const dueMs = dueAtMs(spec, acceptedAtMs);
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const ofKind = kind[gpu]!;
      const step = stepMs[gpu]! + stepMsPerRequest[ofKind]! + tokens * stepMsPerKvToken[ofKind]! + (counts && counts[gpu]! > 0 ? 0 : stepBaseMs[ofKind]!);
      const firstMs = Math.max(nowMs, prefillUntilMs[gpu]!) + prefillMs(prefillMsPerToken[ofKind]!, inputTokens, step);
      if (firstMs <= firstDueMs && firstMs + outputTokens * step * stretch[gpu]! <= dueMs) candidates[kept++] = gpu;
    }
    return kept;
  },
  everPasses: () => true,
};
