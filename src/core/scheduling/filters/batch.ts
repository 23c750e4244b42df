import type { RequestFilter } from "../contract.js";
import { keepAll } from "../contract.js";

/**
 * A request of a batch goes where the batch has enough for the GPU: see `core/batches/batch-room.ts`. Yields when it would leave nothing
 * and the request is not to wait for that.
 */
export const batch: RequestFilter = {
  name: "batch",
  healsWithTime: true,
  bySize: true,
  applies: (ask) => (ask.batch ?? null) !== null,
  needed: (ask) => ask.batch?.needed() ?? "",
  keep(_fleet, { batch: room }, candidates, count) {
    if (!room) return count;
    let allowed = 0;
    for (let k = 0; k < count; k += 1) if (room.allows(candidates[k]!)) allowed += 1;
    if (allowed === 0) return room.waits ? 0 : count;
    let kept = 0;
    for (let k = 0; k < count; k += 1) if (room.allows(candidates[k]!)) candidates[kept++] = candidates[k]!;
    return kept;
  },
  keepWhenIdle: keepAll,
  everPasses: () => true,
};
