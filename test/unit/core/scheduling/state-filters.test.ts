// What keeps a GPU from all work, seen through the mask that the fleet keeps for each GPU.
import { expect, test } from "@jest/globals";
import type { Fleet } from "../../../../src/core/fleet/fleet.js";
import { DEGRADED, fleetOf, inventory, nodeId, OUT, PROBING, sample, WELL } from "../build.js";

/** Names of the filters that block the fleet's only GPU. */
function blocking(prepare: (fleet: Fleet) => void): string[] {
  const fleet = fleetOf([inventory("g0")], { maxConcurrentTasksPerGpu: 2 });
  prepare(fleet);
  return fleet.stateFilters.filter((_, bit) => (fleet.blocked[0]! >> bit) & 1).map((filter) => filter.name);
}

const NOW = 1_000;
const place = (count: number) => (fleet: Fleet) => {
  for (let turn = 0; turn < count; turn += 1) fleet.place(0, 0);
};

test.each<[string, string[], (fleet: Fleet) => void]>([
  ["a connected idle GPU", [], () => {}],
  ["a GPU whose node is not connected", ["status"], (fleet) => fleet.setConnected(nodeId("node"), false, "")],
  ["a GPU that is out", ["health"], (fleet) => fleet.judged(0, OUT)],
  ["a GPU that drains", ["health"], (fleet) => fleet.judged(0, { ...OUT, state: "draining" })],
  ["a GPU that is back in service", [], (fleet) => {
    fleet.judged(0, OUT);
    fleet.judged(0, WELL);
  }],
  ["a degraded GPU", [], (fleet) => fleet.judged(0, DEGRADED)],
  ["an idle GPU that has to prove itself", [], (fleet) => fleet.judged(0, PROBING)],
  ["a GPU that has its probe", ["health"], (fleet) => {
    fleet.judged(0, PROBING);
    place(1)(fleet);
  }],
  ["a GPU with a free slot", [], place(1)],
  ["a GPU without one", ["slots"], place(2)],
  ["a GPU that others keep busy", ["utilization"], (fleet) => fleet.observe(0, sample("g0", { gpuUtilizationPercent: 95 }), NOW)],
  ["a GPU that others keep almost busy", [], (fleet) => fleet.observe(0, sample("g0", { gpuUtilizationPercent: 94 }), NOW)],
  ["a GPU that our own work keeps busy", [], (fleet) => {
    fleet.place(0, 0);
    fleet.observe(0, sample("g0", { gpuUtilizationPercent: 100 }), NOW);
  }],
  ["a GPU whose own work ended since it was seen busy", [], (fleet) => {
    fleet.place(0, 0);
    fleet.observe(0, sample("g0", { gpuUtilizationPercent: 100 }), NOW);
    fleet.release(0, 0, false);
  }],
  ["a GPU whose busy sample is stale", [], (fleet) => {
    fleet.observe(0, sample("g0", { gpuUtilizationPercent: 100 }), NOW);
    fleet.forgetStaleSamples(NOW + 2_001, 2_000);
  }],
  ["a GPU for several reasons", ["status", "health", "slots"], (fleet) => {
    place(2)(fleet);
    fleet.judged(0, OUT);
    fleet.setConnected(nodeId("node"), false, "");
  }],
])("%s is blocked by %j", (_, expected, prepare) => {
  expect(blocking(prepare)).toEqual(expected);
});

test("exclusive keeps everybody off a GPU that a request has to itself", () => {
  const fleet = fleetOf([inventory("g0")]);
  fleet.place(0, 0, true);
  expect(fleet.blocked[0]).not.toBe(0);
  fleet.release(0, 0, true, true);
  expect(fleet.blocked[0]).toBe(0);
});

test("each says in words what it needs", () => {
  const { stateFilters } = fleetOf([], { maxConcurrentTasksPerGpu: 2, utilizationThreshold: 0.8, maxTemperatureCelsius: 70 });
  expect(stateFilters.map((filter) => filter.needed)).toEqual([
    "a GPU whose node is connected",
    "a GPU whose node was not cut off a moment ago",
    "a GPU that no operator has taken out of service",
    "a GPU in service: below 70 °C, with an error rate of at most 0.1, without faults of its own",
    "a GPU that no other request has to itself",
    "a GPU with fewer than 2 requests",
    "a GPU less than 80 % busy with work of others",
  ]);
});
