import { UNKNOWN_LATENCY_MS } from "../../fleet/outcome-columns.js";
import type { RequestScorer } from "../contract.js";

/**
 * Finagle's and linkerd's cost, in seconds: peak EWMA of the latency, decayed to now, times the requests that it would have. A GPU
 * without outcomes counts as one second.
 */
export const peakEwma: RequestScorer = {
  name: "peak_ewma",
  value(fleet, ask, gpu) {
    const latency = fleet.outcomes.scaledLatency[gpu]! * fleet.outcomes.latencyFactor(ask.nowMs);
    return ((latency === 0 ? UNKNOWN_LATENCY_MS : latency) / 1_000) * (fleet.active[gpu]! + 1);
  },
  add(fleet, ask, candidates, count, weight, totals) {
    const { active } = fleet;
    const { scaledLatency } = fleet.outcomes;
    const factor = (weight * fleet.outcomes.latencyFactor(ask.nowMs)) / 1_000;
    const unknown = (weight * UNKNOWN_LATENCY_MS) / 1_000;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const latency = scaledLatency[gpu]! * factor;
      totals[k]! += (latency === 0 ? unknown : latency) * (active[gpu]! + 1);
    }
  },
};
