// The kinds of GPU that can be simulated, with the figures that a real one of the kind reports about itself.
// Read by the simulated GPUs; how fast a kind works is not here but with the simulated runner.
//
// Multiprocessors, compute capability and power limit: NVIDIA's data sheets and architecture white papers (A100 SXM4 80 GB, H100
// SXM5, H200 SXM, L40S, A10/A10G, T4, Ada GPU architecture for the RTX 4090). Memory: what the driver reports as the total, which is
// below the data sheet's GB where ECC or the firmware keeps some.

/** What a GPU of a kind is. */
export interface GpuKindFigures {
  /** The product's name, without the vendor. */
  readonly product: string;
  readonly computeCapability: string;
  readonly memoryTotalMib: number;
  readonly multiprocessorCount: number;
  readonly powerLimitWatts: number;
}

export const GPU_KINDS = {
  "A100-80GB": { product: "A100-SXM4-80GB", computeCapability: "8.0", memoryTotalMib: 81_920, multiprocessorCount: 108, powerLimitWatts: 400 },
  "H100-80GB": { product: "H100-SXM5-80GB", computeCapability: "9.0", memoryTotalMib: 81_559, multiprocessorCount: 132, powerLimitWatts: 700 },
  H200: { product: "H200-SXM-141GB", computeCapability: "9.0", memoryTotalMib: 143_771, multiprocessorCount: 132, powerLimitWatts: 700 },
  L40S: { product: "L40S", computeCapability: "8.9", memoryTotalMib: 46_068, multiprocessorCount: 142, powerLimitWatts: 350 },
  A10G: { product: "A10G", computeCapability: "8.6", memoryTotalMib: 23_028, multiprocessorCount: 80, powerLimitWatts: 300 },
  T4: { product: "T4", computeCapability: "7.5", memoryTotalMib: 15_360, multiprocessorCount: 40, powerLimitWatts: 70 },
  "RTX-4090": { product: "GeForce RTX 4090", computeCapability: "8.9", memoryTotalMib: 24_564, multiprocessorCount: 128, powerLimitWatts: 450 },
} as const satisfies Readonly<Record<string, GpuKindFigures>>;

export type GpuKind = keyof typeof GPU_KINDS;
