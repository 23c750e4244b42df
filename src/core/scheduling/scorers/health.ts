import type { StateScorer } from "../contract.js";

/**
 * 0.4 temperature + 0.3 power + 0.3 (1 − error rate) (row R2): temperature is 1 below 50 °C and falls to 0 at 100 °C;
 * power is 1 − usage / limit, 0.5 without a limit. What the device cannot say counts as 0.5. Less of it all for a GPU that is degraded or
 * comes back.
 */
export const health: StateScorer = {
  name: "health",
  value(fleet, gpu) {
    const celsius = fleet.temperatureCelsius[gpu]!;
    const temperature = celsius !== celsius ? 0.5 : celsius <= 50 ? 1 : celsius >= 100 ? 0 : (100 - celsius) / 50;
    const usage = fleet.powerUsageWatts[gpu]!;
    const limit = fleet.powerLimitWatts[gpu]!;
    const power = usage !== usage || limit <= 0 ? 0.5 : usage >= limit ? 0 : 1 - usage / limit;
    return fleet.health.factor[gpu]! * (0.4 * temperature + 0.3 * power + 0.3 * (1 - fleet.health.errorRate[gpu]!));
  },
};
