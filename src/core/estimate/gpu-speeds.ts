// How fast kinds of GPU are beside each other before anything has been measured: the prior of service times, and the yardstick of the
// strategies that divide by speed. Read when a GPU is registered; it learns nothing.
//
// The figures are NVIDIA's own: dense FP16 tensor throughput, with FP32 accumulation where the data sheet tells the two apart (GeForce
// halves it), and memory bandwidth; from the data sheets of the data-centre products and the Pascal, Volta, Turing, Ampere, Ada and Blackwell
// architecture white papers. Where only the figure with 2:4 sparsity is printed it is halved. GPUs without tensor cores have their
// plain FP16 figure, or FP32 where FP16 is crippled.

/** Beside an A100-SXM4-80GB, which is 1. */
export interface GpuSpeed {
  /** What work that is bound by arithmetic, such as reading a prompt, gains. */
  readonly compute: number;
  /** What work that is bound by memory, such as writing tokens, gains. */
  readonly bandwidth: number;
}

const A100 = { tflops: 312, gigabytesPerSecond: 2039 };

/**
 * What is faster than the reference gains less than its data sheet says: launches, hosts and links do not get faster. Measured medians
 * are about this power of the ratio: H100 over A100 2.2 in prompts (sheet 3.2) and 1.5 in tokens (1.6), B200 over H200 1.6 (2.3) and
 * 1.4 (1.6).
 */
const GAIN_POWER = 0.7;

/** Product name, TFLOPS, GB/s. The first that matches counts, so variants come before their family. */
const PRODUCTS: readonly (readonly [name: RegExp, tflops: number, gigabytesPerSecond: number])[] = [
  [/\bGB300\b/, 2500, 8000],
  [/\bGB200\b/, 2500, 8000],
  [/\bB300\b/, 2250, 8000],
  [/\bB200\b/, 2250, 7700],
  [/\bB100\b/, 1750, 8000],
  [/\bGH200\b.*\b144G/, 989, 4900],
  [/\bGH200\b/, 989, 4000],
  [/\bH200.NVL\b/, 835, 4800],
  [/\bH200\b/, 989, 4800],
  [/\bH100.NVL\b/, 835, 3900],
  [/\bH100\b.*PCIE/, 756, 2000],
  [/\bH[18]00\b/, 989, 3350],
  [/\bH20\b/, 148, 4000],
  [/\bA[18]00\b.*(PCIE.*80G|80G.*PCIE)/, 312, 1935],
  [/\bA[18]00\b.*40G/, 312, 1555],
  [/\bA[18]00\b/, 312, 2039],
  [/\bA40\b/, 150, 696],
  [/\bA30\b/, 165, 933],
  [/\bA16\b/, 18, 200],
  [/\bA10G\b/, 70, 600],
  [/\bA10\b/, 125, 600],
  [/\bA2\b/, 18, 200],
  [/\bL40S\b/, 362, 864],
  [/\bL40\b/, 181, 864],
  [/\bL20\b/, 120, 864],
  [/\bL4\b/, 121, 300],
  [/\bRTX.PRO.6000\b/, 504, 1792],
  [/\bRTX.6000.ADA\b/, 364, 960],
  [/\bRTX.A6000\b/, 155, 768],
  [/\bRTX.A5000\b/, 111, 768],
  [/\bRTX.A4000\b/, 77, 448],
  [/\b5090\b/, 210, 1792],
  [/\b5080\b/, 113, 960],
  [/\b4090\b/, 165, 1008],
  [/\b4080\b/, 97, 717],
  [/\b3090\b/, 71, 936],
  [/\b3080\b/, 60, 760],
  [/\b3060\b/, 26, 360],
  [/\b2080.TI\b/, 54, 616],
  [/\bT4\b/, 65, 320],
  [/\bV100S\b/, 130, 1134],
  [/\bV100\b.*PCIE/, 112, 900],
  [/\bV100\b/, 125, 900],
  [/\bP100\b/, 21, 732],
  [/\bP40\b/, 12, 346],
  [/\bP4\b/, 5.5, 192],
  [/\bK80\b/, 4.4, 240],
];

/** Of a MIG instance by its compute slices: the share of the GPU's eight memory slices that comes with them (NVIDIA MIG user guide). */
const MIG_MEMORY_SHARE: Readonly<Record<string, number>> = { "1": 1 / 8, "2": 2 / 8, "3": 4 / 8, "4": 4 / 8, "7": 1 };
const MIG_COMPUTE_SLICES = 7;

/** The speed of a GPU by the product name that its driver tells, in any case; 1 and 1 for a name that is not known. */
export function gpuSpeed(name: string): GpuSpeed {
  // "NVIDIA A100-SXM4-80GB MIG 3g.40gb": the product, then the instance.
  const [product = "", profile = ""] = name.toUpperCase().split(" MIG ");
  const [, tflops, gigabytesPerSecond] = PRODUCTS.find(([pattern]) => pattern.test(product)) ?? ["", A100.tflops, A100.gigabytesPerSecond];
  const slices = /^(\d)G\./.exec(profile)?.[1];
  const share = slices ? MIG_MEMORY_SHARE[slices] : undefined;
  const computeShare = share === undefined ? 1 : Number(slices) / MIG_COMPUTE_SLICES;
  return { compute: gain((tflops / A100.tflops) * computeShare), bandwidth: gain((gigabytesPerSecond / A100.gigabytesPerSecond) * (share ?? 1)) };
}

/**
 * The same as one figure: the harmonic mean, which is how much sooner a request ends whose time on an A100 goes half into its prompt
 * and half into its output. Chat requests in batches of about sixteen are like that.
 */
export function relativeSpeed(name: string): number {
  const { compute, bandwidth } = gpuSpeed(name);
  return 2 / (1 / compute + 1 / bandwidth);
}

function gain(ratio: number): number {
  return ratio > 1 ? ratio ** GAIN_POWER : ratio;
}
