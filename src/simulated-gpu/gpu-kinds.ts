// The kinds of GPU that can be simulated: what their data sheets and drivers say of them.
// Read by the service-time model, the simulated probe of the agent and the simulator; how much of the sheet a kind delivers in practice
// is not here but with the model (service-times.ts).
//
// TFLOPS are dense FP16/BF16 tensor throughput with FP32 accumulation (half of the GeForce headline figure, half of every figure "with
// sparsity"); P100 has no tensor cores, so its plain FP16. Sources: NVIDIA's data sheets of the data-centre products; Pascal, Volta,
// Turing, Ada and Blackwell architecture white papers. Memory is what the driver reports as the total, which is below the sheet's GB where
// ECC or the firmware keeps some; for the kinds without a capture at hand (RTX PRO 6000, B200, V100, P100) it is as published for them.

/** What a GPU of a kind is. */
export interface GpuKindFigures {
  /** The product's name, without the vendor. */
  readonly product: string;
  /** Dense, FP16 or BF16. */
  readonly tflops: number;
  /** Memory bandwidth. */
  readonly gigabytesPerSecond: number;
  readonly memoryTotalMib: number;
  readonly computeCapability: string;
  readonly multiprocessorCount: number;
  readonly powerLimitWatts: number;
}

function kind(
  product: string,
  tflops: number,
  gigabytesPerSecond: number,
  memoryTotalMib: number,
  computeCapability: string,
  multiprocessorCount: number,
  powerLimitWatts: number,
): GpuKindFigures {
  return { product, tflops, gigabytesPerSecond, memoryTotalMib, computeCapability, multiprocessorCount, powerLimitWatts };
}

export const GPU_KINDS = {
  B200: kind("B200", 2250, 7700, 183_359, "10.0", 148, 1000),
  H200: kind("H200-SXM-141GB", 989, 4800, 143_771, "9.0", 132, 700),
  "H100-80GB": kind("H100-SXM5-80GB", 989, 3350, 81_559, "9.0", 132, 700),
  "A100-80GB": kind("A100-SXM4-80GB", 312, 2039, 81_920, "8.0", 108, 400),
  "A100-40GB": kind("A100-SXM4-40GB", 312, 1555, 40_960, "8.0", 108, 400),
  L40S: kind("L40S", 362, 864, 46_068, "8.9", 142, 350),
  "RTX-PRO-6000": kind("RTX PRO 6000 Blackwell Workstation Edition", 504, 1792, 97_887, "12.0", 188, 600),
  "RTX-4090": kind("GeForce RTX 4090", 165, 1008, 24_564, "8.9", 128, 450),
  A10G: kind("A10G", 70, 600, 23_028, "8.6", 80, 300),
  "V100-32GB": kind("V100-SXM2-32GB", 125, 900, 32_768, "7.0", 80, 300),
  "V100-16GB": kind("V100-SXM2-16GB", 125, 900, 16_384, "7.0", 80, 300),
  T4: kind("T4", 65, 320, 15_360, "7.5", 40, 70),
  P100: kind("P100-SXM2-16GB", 21.2, 732, 16_384, "6.0", 56, 300),
} as const satisfies Readonly<Record<string, GpuKindFigures>>;

export type GpuKind = keyof typeof GPU_KINDS;

/** All names, fastest memory first. */
export const GPU_KIND_NAMES = Object.keys(GPU_KINDS) as readonly GpuKind[];

export function isGpuKind(name: string): name is GpuKind {
  return Object.hasOwn(GPU_KINDS, name);
}

/**
 * The GPU models of Alibaba's 2023 cluster trace ("openb"). Its G2 and G3 are not named by their publisher; we take them for A100-40GB and
 * A100-80GB, an assumption: the newest data-centre kinds of that cluster's years, G3 the larger of the two.
 */
export const OPENB_GPU_KINDS: Readonly<Record<string, GpuKind>> = {
  P100: "P100",
  T4: "T4",
  V100M16: "V100-16GB",
  V100M32: "V100-32GB",
  G2: "A100-40GB",
  G3: "A100-80GB",
  A10: "A10G",
};
