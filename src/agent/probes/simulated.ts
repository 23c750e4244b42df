// The probe of simulated GPUs: answers what `SimulatedDevices` says. Made by `index.ts`.
import type { GpuProbeEvent, GpuSample, Probe, ProbedGpu } from "./probe.js";
import type { SimulatedDevices } from "./simulated-devices.js";

export class SimulatedProbe implements Probe {
  readonly kind = "simulated";
  readonly #devices: SimulatedDevices;
  readonly #follow: () => () => void;
  #stop: (() => void) | undefined;

  /** `follow` begins to follow troubles that somebody asks for, and returns how to stop; called when somebody listens. */
  constructor(devices: SimulatedDevices, follow: () => () => void = () => () => {}) {
    this.#devices = devices;
    this.#follow = follow;
  }

  async inventory(): Promise<readonly ProbedGpu[]> {
    return this.#devices.gpus;
  }

  async sample(): Promise<readonly GpuSample[]> {
    return this.#devices.gpus.filter(({ gpuId }) => this.#devices.answers(gpuId)).map(({ gpuId }) => this.#devices.sample(gpuId));
  }

  /** Simulated GPUs have no events but those that somebody asked for. */
  onEvent(listener: (event: GpuProbeEvent) => void): () => void {
    const unsubscribe = this.#devices.onEvent(listener);
    this.#stop ??= this.#follow();
    return unsubscribe;
  }

  async close(): Promise<void> {
    this.#stop?.();
  }
}
