// What goes wrong in a simulation. Drawn and done by simulated-fleet.ts.

export interface SimulatedFaults {
  /** Share of GPUs that take `slowdown` times as long, which nobody is told. */
  readonly stragglers: number;
  readonly slowdown: number;
  /** GPUs that break, one after the other at even distances, and work again `brokenMs` later. */
  readonly gpuFailures: number;
  readonly brokenMs: number;
  /** On so many GPUs, the last of the fleet, this share of attempts fails at its end, which nobody is told before. None when left out. */
  readonly flaky?: { readonly gpus: number; readonly errorRate: number };
}

export const NO_FAULTS: SimulatedFaults = { stragglers: 0, slowdown: 1, gpuFailures: 0, brokenMs: 0 };
