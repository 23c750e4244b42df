import { FleetUse } from "../fleet-use.js";
import type { Strategy } from "../contract.js";
import { freeMemory } from "../scorers/free-memory.js";
import { idleCompute } from "../scorers/idle-compute.js";

/** Counted on top of both uses, so that on an idle fleet both weigh one half. */
const FLOOR = 0.05;

/**
 * The least loaded GPU by memory and compute, whose weights follow the fleet: what is scarce in it counts most. With memory 90 % and
 * compute 30 % in use free memory weighs 0.73, idle compute 0.27; an hour later it may be the other way round.
 */
export function dynamic(): Strategy {
  const use = new FleetUse();
  return {
    name: "dynamic",
    scorers: [
      { scorer: freeMemory, weightNow: (fleet) => memoryWeight(use.follow(fleet)) },
      { scorer: idleCompute, weightNow: (fleet) => 1 - memoryWeight(use.follow(fleet)) },
    ],
  };
}

function memoryWeight({ memory, compute }: FleetUse): number {
  return (memory + FLOOR) / (memory + compute + 2 * FLOOR);
}
