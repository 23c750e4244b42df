import { prefillMs } from "../../estimate/service-times.js";
import type { RequestFilter } from "../contract.js";

/** No running request of the GPU would be pushed over its deadline: reading this prompt stops them, writing this answer slows them. */
export const othersPromises: RequestFilter = {
  name: "others_promises",
  healsWithTime: true,
  applies: ({ estimate }) => estimate.outputTokens !== undefined,
  needed: () => "a GPU whose running requests can bear one more and still be in time",
  keep(fleet, { spec, estimate }, candidates, count) {
    const { kind, slackMs, tightTokens, stretch } = fleet.work;
    const times = fleet.work.times.of(spec.modelId);
    const { prefillMsPerToken, stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = times;
    const counts = fleet.work.countsOf(times);
    const { inputTokens = 0, outputTokens = 0 } = estimate;
    const tokens = inputTokens + outputTokens;
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const ofKind = kind[gpu]!;
      const added = stepMsPerRequest[ofKind]! + tokens * stepMsPerKvToken[ofKind]! + (counts && counts[gpu]! > 0 ? 0 : stepBaseMs[ofKind]!);
      if (prefillMs(prefillMsPerToken[ofKind]!, inputTokens, 0) + tightTokens[gpu]! * added * stretch[gpu]! <= slackMs[gpu]!) candidates[kept++] = gpu;
    }
    return kept;
  },
  everPasses: () => true,
};
