// Reads `nvidia-smi -L`, the only one of nvidia-smi's answers that tells the UUIDs and profiles of MIG instances.
// Called by the nvidia-smi probe and by the recordings.

/** What the listing tells of a MIG instance. */
export interface ListedMigDevice {
  readonly uuid: string;
  /** Such as "1g.10gb" or "1c.3g.71gb". */
  readonly profile: string;
}

export class SmiListing {
  readonly #migDevices = new Map<string, ListedMigDevice>();

  /** Lines that say nothing of GPUs are left out. */
  constructor(text: string) {
    let parent = "";
    for (const line of text.split("\n")) {
      const gpu = /^GPU \d+: .*\(UUID: (GPU-[^)\s]+)\)/.exec(line);
      if (gpu?.[1]) parent = gpu[1];
      const mig = /^\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: (MIG-[^)\s]+)\)/.exec(line);
      if (mig?.[1] && mig[3]) this.#migDevices.set(`${parent}#${Number(mig[2])}`, { uuid: mig[3], profile: mig[1] });
    }
  }

  /** `index` as in `nvidia-smi -q`: the place of the instance on its GPU. */
  migDevice(parentGpuId: string, index: number): ListedMigDevice | undefined {
    return this.#migDevices.get(`${parentGpuId}#${index}`);
  }
}
