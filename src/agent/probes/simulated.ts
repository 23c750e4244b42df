// The probe of simulated GPUs: answers what `SimulatedDevices` says. Made by `index.ts`.
import type { GpuProbeEvent, GpuSample, Probe, ProbedGpu } from "./probe.js";
import type { SimulatedDevices } from "./simulated-devices.js";
import { SimulatedEvents } from "./simulated-events.js";

export class SimulatedProbe implements Probe {
  readonly kind = "simulated";
  readonly #devices: SimulatedDevices;
  readonly #events: SimulatedEvents | null;

  /** `eventsFile`: where it is written what happens to its GPUs, see `SimulatedEvents`; "" when nothing does. */
  constructor(devices: SimulatedDevices, eventsFile = "") {
    this.#devices = devices;
    this.#events = eventsFile === "" ? null : new SimulatedEvents(eventsFile, devices);
  }

  async inventory(): Promise<readonly ProbedGpu[]> {
    return this.#devices.gpus;
  }

  async sample(): Promise<readonly GpuSample[]> {
    return this.#devices.gpus.filter(({ gpuId }) => this.#devices.answers(gpuId)).map(({ gpuId }) => this.#devices.sample(gpuId));
  }

  onEvent(listener: (event: GpuProbeEvent) => void): () => void {
    return this.#devices.onEvent(listener);
  }

  async close(): Promise<void> {
    this.#events?.close();
  }
}
