// How much of its memory and compute the fleet uses, for strategies whose weights follow it. One pass over the fleet when it changed.
import type { Fleet } from "../fleet/fleet.js";

export class FleetUse {
  /** Mean over the GPUs, 0..1, ledger and telemetry together; 0 for an empty fleet. */
  memory = 0;
  compute = 0;
  #seenSequence = -1;

  /** Brings the means up to date. O(GPUs), 1 µs per 1,000. */
  follow(fleet: Fleet): this {
    if (this.#seenSequence === fleet.changeSequence) return this;
    this.#seenSequence = fleet.changeSequence;
    const { size, effectiveUsedMib, effectiveUtilization, memoryTotalMib } = fleet;
    let usedMib = 0;
    let totalMib = 0;
    let busy = 0;
    for (let gpu = 0; gpu < size; gpu += 1) {
      usedMib += effectiveUsedMib[gpu]!;
      totalMib += memoryTotalMib[gpu]!;
      busy += effectiveUtilization[gpu]!;
    }
    this.memory = totalMib > 0 ? Math.min(1, usedMib / totalMib) : 0;
    this.compute = size > 0 ? busy / size : 0;
    return this;
  }
}
