// The catalogue of language models that can be simulated: their shapes, as their published configurations say.
// Read by the service-time model and by workloads that place models; knows nothing of GPUs or time.

/** What decides how long a model's work takes and how much memory it holds. */
export interface ModelShape {
  readonly name: string;
  readonly parameters: number;
  /** Parameters that one token passes through; fewer than `parameters` in a mixture of experts. */
  readonly activeParameters: number;
  readonly layers: number;
  readonly attentionHeads: number;
  /** Heads whose keys and values are cached. */
  readonly kvHeads: number;
  readonly headDim: number;
  readonly bytesPerWeight: number;
  /** GPUs that one replica spans. Its times and memory are then those of each of them, and one simulated GPU stands for them all. */
  readonly tensorParallel: number;
}

const BILLION = 1e9;

function dense(name: string, billions: number, layers: number, attentionHeads: number, kvHeads: number, headDim: number, tensorParallel = 1): ModelShape {
  const parameters = billions * BILLION;
  return { name, parameters, activeParameters: parameters, layers, attentionHeads, kvHeads, headDim, bytesPerWeight: 2, tensorParallel };
}

const CATALOGUE: readonly ModelShape[] = [
  dense("llama-3.1-8b", 8.03, 32, 32, 8, 128),
  dense("qwen2.5-14b", 14.8, 48, 40, 8, 128),
  dense("qwen3-32b", 32.8, 64, 64, 8, 128),
  { ...dense("qwen3-30b-a3b", 30.5, 48, 32, 4, 128), activeParameters: 3.3 * BILLION },
  dense("mistral-7b", 7.25, 32, 32, 8, 128),
  dense("gemma-2-9b", 9.24, 42, 16, 8, 256),
  dense("phi-4-14b", 14.7, 40, 40, 10, 128),
  dense("deepseek-coder-6.7b", 6.74, 32, 32, 32, 128),
  dense("llama2-70b", 69, 80, 64, 8, 128, 2),
  dense("llama-3.1-70b", 70.6, 80, 64, 8, 128, 2),
];

const BY_NAME: ReadonlyMap<string, ModelShape> = new Map(CATALOGUE.map((shape) => [shape.name, shape]));
const DEFAULT_SHAPE = dense("", 8.03, 32, 32, 8, 128);

export const MODEL_NAMES: readonly string[] = CATALOGUE.map(({ name }) => name);

/** The shape of a model; a name that the catalogue lacks is taken for a dense model of 8 billion parameters in 16 bits. */
export function modelShape(name: string): ModelShape {
  return BY_NAME.get(name) ?? { ...DEFAULT_SHAPE, name };
}

/** Memory of the weights on each GPU, MiB. */
export function weightsMib(shape: ModelShape): number {
  return Math.ceil((shape.parameters * shape.bytesPerWeight) / shape.tensorParallel / 2 ** 20);
}

/** Keys and values of one token on each GPU, bytes, in 16 bits. */
export function kvBytesPerToken(shape: ModelShape): number {
  return (2 * 2 * shape.layers * shape.kvHeads * shape.headDim) / shape.tensorParallel;
}
