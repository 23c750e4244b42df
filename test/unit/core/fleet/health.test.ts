import { expect, test } from "@jest/globals";
import type { Fleet } from "../../../../src/core/fleet/fleet.js";
import { healthOf } from "../../../../src/core/fleet/health.js";
import type { HealthStatus } from "../../../../src/core/model/gpu.js";
import { fleetOf, inventory, sample, settings } from "../build.js";

const hot = (temperatureCelsius: number) => (fleet: Fleet) => fleet.observe(0, sample("g0", { temperatureCelsius }), 1);
const faults = (count: number) => (fleet: Fleet) => {
  for (let turn = 0; turn < count; turn += 1) fleet.learnOutcome(0, true);
};

test.each<[string, HealthStatus, (fleet: Fleet) => void]>([
  ["nothing known", "healthy", () => {}],
  ["79 °C", "healthy", hot(79)],
  ["80 °C, five below the limit", "warning", hot(80)],
  ["84 °C", "warning", hot(84)],
  ["85 °C, the limit", "critical", hot(85)],
  ["a temperature it cannot tell", "healthy", hot(Number.NaN)],
  ["one fault, a rate of 0.05", "healthy", faults(1)],
  ["two faults, a rate above half the threshold", "warning", faults(2)],
  ["a cool-down", "critical", (fleet) => fleet.takeOut(0, "Xid 79", 10)],
])("%s is %s", (_, expected, prepare) => {
  const fleet = fleetOf([inventory("g0")]);
  prepare(fleet);
  expect(healthOf(fleet, 0, settings())).toBe(expected);
});
