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
  readonly memory: "HBM" | "GDDR";
  /** To another GPU of the same node, one direction. */
  readonly linkGigabytesPerSecond: number;
  readonly link: "NVLink" | "PCIe";
  readonly memoryTotalMib: number;
  readonly computeCapability: string;
  readonly multiprocessorCount: number;
  readonly powerLimitWatts: number;
}

export const GPU_KINDS = {
  B200: { ...figures("B200", 2250, 183_359, "10.0", 148, 1000), ...memory("HBM", 7700), ...link("NVLink", 900) },
  H200: { ...figures("H200-SXM-141GB", 989, 143_771, "9.0", 132, 700), ...memory("HBM", 4800), ...link("NVLink", 450) },
  "H100-80GB": { ...figures("H100-SXM5-80GB", 989, 81_559, "9.0", 132, 700), ...memory("HBM", 3350), ...link("NVLink", 450) },
  "A100-80GB": { ...figures("A100-SXM4-80GB", 312, 81_920, "8.0", 108, 400), ...memory("HBM", 2039), ...link("NVLink", 300) },
  "RTX-PRO-6000": { ...figures("RTX PRO 6000 Blackwell", 504, 97_887, "12.0", 188, 600), ...memory("GDDR", 1792), ...link("PCIe", 64) },
  "A100-40GB": { ...figures("A100-SXM4-40GB", 312, 40_960, "8.0", 108, 400), ...memory("HBM", 1555), ...link("NVLink", 300) },
  "RTX-4090": { ...figures("GeForce RTX 4090", 165, 24_564, "8.9", 128, 450), ...memory("GDDR", 1008), ...link("PCIe", 32) },
  "V100-32GB": { ...figures("V100-SXM2-32GB", 125, 32_768, "7.0", 80, 300), ...memory("HBM", 900), ...link("NVLink", 150) },
  "V100-16GB": { ...figures("V100-SXM2-16GB", 125, 16_384, "7.0", 80, 300), ...memory("HBM", 900), ...link("NVLink", 150) },
  L40S: { ...figures("L40S", 362, 46_068, "8.9", 142, 350), ...memory("GDDR", 864), ...link("PCIe", 32) },
  P100: { ...figures("P100-SXM2-16GB", 21.2, 16_384, "6.0", 56, 300), ...memory("HBM", 732), ...link("NVLink", 80) },
  A10G: { ...figures("A10G", 70, 23_028, "8.6", 80, 300), ...memory("GDDR", 600), ...link("PCIe", 32) },
  T4: { ...figures("T4", 65, 15_360, "7.5", 40, 70), ...memory("GDDR", 320), ...link("PCIe", 16) },
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

type Figures = Pick<GpuKindFigures, "product" | "tflops" | "memoryTotalMib" | "computeCapability" | "multiprocessorCount" | "powerLimitWatts">;

function figures(product: string, tflops: number, memoryTotalMib: number, computeCapability: string, multiprocessorCount: number, powerLimitWatts: number): Figures {
  return { product, tflops, memoryTotalMib, computeCapability, multiprocessorCount, powerLimitWatts };
}

function memory(kind: GpuKindFigures["memory"], gigabytesPerSecond: number): Pick<GpuKindFigures, "memory" | "gigabytesPerSecond"> {
  return { memory: kind, gigabytesPerSecond };
}

function link(kind: GpuKindFigures["link"], gigabytesPerSecond: number): Pick<GpuKindFigures, "link" | "linkGigabytesPerSecond"> {
  return { link: kind, linkGigabytesPerSecond: gigabytesPerSecond };
}
