// The probe of simulated GPUs: answers what `SimulatedDevices` says. Made by `index.ts`.
import type { GpuSample, Probe, ProbedGpu } from "./probe.js";
import type { SimulatedDevices } from "./simulated-devices.js";

export class SimulatedProbe implements Probe {
  readonly kind = "simulated";
  readonly #devices: SimulatedDevices;

  constructor(devices: SimulatedDevices) {
    this.#devices = devices;
  }

  async inventory(): Promise<readonly ProbedGpu[]> {
    return this.#devices.gpus;
  }

  async sample(): Promise<readonly GpuSample[]> {
    return this.#devices.gpus.map(({ gpuId }) => this.#devices.sample(gpuId));
  }

  /** Simulated GPUs have no events. */
  onEvent(): () => void {
    return () => {};
  }

  async close(): Promise<void> {}
}
