import { keepAll, type RequestFilter } from "../contract.js";
import { Prediction } from "../prediction.js";

/**
 * A GPU that is kept for somebody takes others only when they come before him in line, or will have ended, nine times out of ten, when he
 * is expected to begin. Where its room is kept, only who is of the same band or a higher one; nobody at all when he has waited too long.
 */
export const reserved = (): RequestFilter => {
  const prediction = new Prediction(false);
  return {
    name: "reserved",
    healsWithTime: true,
    bySize: true,
    applies: () => true,
    needed: () => "a GPU that is not kept for work that needs more of it and comes first, or an end before that begins",
    keep(fleet, ask, candidates, count) {
      const { reservations } = fleet;
      if (reservations.size === 0) return count;
      const { spec, estimate, nowMs, band, spread } = ask;
      const inTokens = estimate.outputTokens !== undefined;
      const { firstOutputAtMs, writeMs } = inTokens && reservations.hasWhole ? prediction.make(fleet, ask, candidates, count) : prediction;
      let kept = 0;
      for (let k = 0; k < count; k += 1) {
        const gpu = candidates[k]!;
        const reservation = reservations.at(gpu);
        const takesMs = inTokens ? firstOutputAtMs[gpu]! + writeMs[gpu]! - nowMs : estimate.durationMs;
        const passes =
          !reservation ||
          reservation.requestId === spec.requestId ||
          band > reservation.band ||
          (reservation.whole ? nowMs + takesMs * spread <= reservation.startAtMs : band === reservation.band && band < Number.POSITIVE_INFINITY);
        if (passes) candidates[kept++] = gpu;
      }
      return kept;
    },
    keepWhenIdle: keepAll,
    everPasses: () => true,
  };
};
