// How well a GPU is: one judgement for the filter, for people and for the score's threshold.
import type { HealthStatus } from "../model/gpu.js";
import type { CoreSettings } from "../settings.js";
import type { Fleet } from "./fleet.js";

/** This close below the limit a GPU is in warning, degrees Celsius. */
const WARNING_MARGIN_CELSIUS = 5;

export function healthOf(fleet: Fleet, gpu: number, settings: CoreSettings): HealthStatus {
  if (fleet.outUntilMs[gpu]! > 0) return "critical";
  const temperature = fleet.temperatureCelsius[gpu]!;
  if (temperature >= settings.maxTemperatureCelsius) return "critical";
  // A rate above the threshold takes the GPU out for a cool-down (engine); until then it is a warning.
  if (temperature >= settings.maxTemperatureCelsius - WARNING_MARGIN_CELSIUS || fleet.errorRate[gpu]! > settings.errorThreshold / 2) return "warning";
  return "healthy";
}
