import type { Fleet } from "../../fleet/fleet.js";
import { isBackground } from "../../model/request.js";
import { keepAll, type Ask, type FromSettings, type RequestFilter } from "../contract.js";

/** Share of a cache that batch work may ask for where it is alone. */
const OVERBOOKED = 1.5;

/**
 * Room in the key-value cache for prompt and answer. Work in the background leaves a share of it to others. A GPU whose cache is not known,
 * or that holds nothing, takes anything.
 */
export const kvRoom: FromSettings<RequestFilter> = ({ hybrid }) => {
  const tokensOf = (fleet: Fleet, { estimate, spec }: Ask): number => ((estimate.inputTokens ?? 0) + (estimate.outputTokens ?? 0)) * fleet.work.times.of(spec.modelId).kvWeight;
  const shareOf = ({ spec, late }: Ask): number => (late || isBackground(spec) ? 1 - hybrid.batchKvHeadroom : 1);
  // Where nobody waits for answers there is nobody to leave room for, and something may wait inside so that the GPU never does.
  const usableShare = (fleet: Fleet, gpu: number, share: number): number => (fleet.work.batchStepLimitMs[gpu] === Number.POSITIVE_INFINITY ? OVERBOOKED : share);
  return {
    name: "kv_room",
    bySize: true,
    applies: ({ estimate }) => estimate.outputTokens !== undefined,
    needed: ({ estimate }) => `room for ${(estimate.inputTokens ?? 0) + (estimate.outputTokens ?? 0)} tokens in the key-value cache`,
    shortfall: {
      unit: "tokens short",
      by: (fleet, ask, gpu) => fleet.work.kvTokens[gpu]! + tokensOf(fleet, ask) - fleet.work.kvCapacityTokens[gpu]! * usableShare(fleet, gpu, shareOf(ask)),
    },
    keep(fleet, ask, candidates, count) {
      const { kvTokens, kvCapacityTokens, held } = fleet.work;
      const tokens = tokensOf(fleet, ask);
      const share = shareOf(ask);
      let kept = 0;
      for (let k = 0; k < count; k += 1) {
        const gpu = candidates[k]!;
        const capacity = kvCapacityTokens[gpu]!;
        if (capacity === 0 || held[gpu] === 0 || kvTokens[gpu]! + tokens <= capacity * usableShare(fleet, gpu, share)) candidates[kept++] = gpu;
      }
      return kept;
    },
    keepWhenIdle: keepAll,
    everPasses: () => true,
  };
};
