import { isBackground } from "../../model/request.js";
import { keepAll, type FromSettings, type RequestFilter } from "../contract.js";

/** Share of a cache that batch work may ask for where it is alone. */
const OVERBOOKED = 1.5;

/**
 * Room in the key-value cache for prompt and answer. Work in the background leaves a share of it to others. A GPU whose cache is not known,
 * or that holds nothing, takes anything.
 */
export const kvRoom: FromSettings<RequestFilter> = ({ hybrid }) => ({
  name: "kv_room",
  bySize: true,
  applies: ({ estimate }) => estimate.outputTokens !== undefined,
  needed: ({ estimate }) => `room for ${(estimate.inputTokens ?? 0) + (estimate.outputTokens ?? 0)} tokens in the key-value cache`,
  keep(fleet, { estimate, spec, late }, candidates, count) {
    const { kvTokens, kvCapacityTokens, held, batchStepLimitMs } = fleet.work;
    const tokens = ((estimate.inputTokens ?? 0) + (estimate.outputTokens ?? 0)) * fleet.work.times.of(spec.modelId).kvWeight;
    const share = late || isBackground(spec) ? 1 - hybrid.batchKvHeadroom : 1;
    let kept = 0;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const capacity = kvCapacityTokens[gpu]!;
      // Where nobody waits for answers there is nobody to leave room for, and something may wait inside so that the GPU never does.
      const usable = batchStepLimitMs[gpu] === Number.POSITIVE_INFINITY ? OVERBOOKED : share;
      if (capacity === 0 || held[gpu] === 0 || kvTokens[gpu]! + tokens <= capacity * usable) candidates[kept++] = gpu;
    }
    return kept;
  },
  keepWhenIdle: keepAll,
  everPasses: () => true,
});
