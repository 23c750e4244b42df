// The contract of a probe: what GPUs this node has and how they are. One probe per agent; see `index.ts` for the choice.

/** What a GPU is. Fields as in `GpuInfo` of agent.proto. */
export interface ProbedGpu {
  /** NVML UUID ("GPU-…", "MIG-…"), or a name containing "sim". */
  readonly gpuId: string;
  readonly name: string;
  /** Such as "9.0"; "" when unknown. */
  readonly computeCapability: string;
  readonly memoryTotalMib: number;
  /** 0 when unknown. */
  readonly multiprocessorCount: number;
  /** 0 when unknown. */
  readonly powerLimitWatts: number;
  /** "" when unknown. */
  readonly driverVersion: string;
  /** "" unless this is a MIG instance. */
  readonly parentGpuId: string;
  readonly simulated: boolean;
}

/** How a GPU is. `undefined` stands for what the device or driver cannot say. */
export interface GpuSample {
  readonly gpuId: string;
  readonly memoryUsedMib: number;
  readonly memoryFreeMib: number;
  /** 0..100. */
  readonly gpuUtilizationPercent: number | undefined;
  /** 0..100. */
  readonly memoryUtilizationPercent: number | undefined;
  readonly temperatureCelsius: number | undefined;
  readonly powerUsageWatts: number | undefined;
  readonly powerLimitWatts: number | undefined;
  /** NVML clock event reasons, a bit mask; 0 when running free or unknown. */
  readonly clockEventReasons: number;
  /** Memory errors since the driver was loaded. */
  readonly eccCorrected: number | undefined;
  readonly eccUncorrected: number | undefined;
  /** Bad rows of memory are remapped at the next reset; absent when not told, as the two below. */
  readonly rowRemapPending?: boolean;
  /** Memory has bad rows that cannot be remapped. */
  readonly rowRemapFailed?: boolean;
  /** Bad pages of memory are retired at the next reset, on GPUs before row remapping. */
  readonly retiredPagesPending?: boolean;
  /** Processes that hold memory of this GPU. */
  readonly processes: readonly { readonly pid: number; readonly memoryUsedMib: number }[];
}

/** Something that happened to a GPU. */
export type GpuProbeEvent =
  /** An error of the driver; `detail` is the text of the kernel's log behind the number, where that is read. */
  | { readonly kind: "xid"; readonly gpuId: string; readonly xid: number; readonly detail?: string }
  /** It does not answer any more. */
  | { readonly kind: "lost"; readonly gpuId: string; readonly reason: string }
  /** Asking it hangs, or crashes the library; what runs on it may go on. Over when it gives a sample. */
  | { readonly kind: "hangs"; readonly gpuId: string; readonly reason: string }
  /** One that was lost answers again: it was reset. */
  | { readonly kind: "restored"; readonly gpuId: string; readonly reason: string };

export interface Probe {
  readonly kind: "nvml" | "nvidia-smi" | "recorded" | "simulated";
  /** Asked once, at the start. Throws with a message that says what to do when the source cannot be used. */
  inventory(): Promise<readonly ProbedGpu[]>;
  /** One sample per GPU that answers. A call that hangs must not block the event loop. */
  sample(): Promise<readonly GpuSample[]>;
  /** Called for each event from now on; returns how to stop. */
  onEvent(listener: (event: GpuProbeEvent) => void): () => void;
  close(): Promise<void>;
}
