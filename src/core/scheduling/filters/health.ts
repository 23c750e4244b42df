import type { FromSettings, StateFilter } from "../contract.js";

/** A GPU takes work as far as its health allows: none while it drains or is out, little while it comes back. */
export const health: FromSettings<StateFilter> = (settings) => ({
  name: "health",
  needed: `a GPU in service: below ${settings.maxTemperatureCelsius} °C, with an error rate of at most ${settings.errorThreshold}, without faults of its own`,
  blocks: ({ health: { slots }, active }, gpu) => active[gpu]! >= slots[gpu]!,
});
