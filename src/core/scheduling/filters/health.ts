import { healthOf } from "../../fleet/health.js";
import type { FromSettings, StateFilter } from "../contract.js";

/** Critical GPUs take no work: taken out by an event, too hot, or failing too often. */
export const health: FromSettings<StateFilter> = (settings) => ({
  name: "health",
  needed: `a GPU below ${settings.maxTemperatureCelsius} °C with an error rate of at most ${settings.errorThreshold}, not in cool-down`,
  blocks: (fleet, gpu) => healthOf(fleet, gpu, settings) === "critical",
});
