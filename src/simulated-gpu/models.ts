// The catalogue of language models that can be simulated: their shapes, as their published configurations say.
// Read by the service-time model and by workloads that place models; knows nothing of GPUs or time.

/** What decides how long a model's work takes and how much memory it holds. */
export interface ModelShape {
  readonly name: string;
  readonly parameters: number;
  /** Parameters that one token passes through; fewer than `parameters` in a mixture of experts. */
  readonly activeParameters: number;
  /** Of both, the table that turns tokens into vectors: looked up, not multiplied. 0 where the output layer shares it. */
  readonly embeddingParameters: number;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly attentionHeads: number;
  /** Heads whose keys and values are cached. */
  readonly kvHeads: number;
  readonly headDim: number;
  /** 2 for 16 bits, 1 for FP8. */
  readonly bytesPerWeight: number;
  /** GPUs that one replica spans. Its times and memory are those of each of them, and one simulated GPU stands for them all. */
  readonly tensorParallel: number;
}

/** Dense, 16 bits, on one GPU; parameters in billions, layers x hidden size, heads as attention/cached x dimension. */
function dense(name: string, parameters: number, embedding: number, [layers, hiddenSize]: readonly [number, number], heads: readonly [number, number, number]): ModelShape {
  const [attentionHeads, kvHeads, headDim] = heads;
  const counts = { parameters: parameters * 1e9, activeParameters: parameters * 1e9, embeddingParameters: embedding * 1e9 };
  return { name, ...counts, layers, hiddenSize, attentionHeads, kvHeads, headDim, bytesPerWeight: 2, tensorParallel: 1 };
}

const LLAMA_3_8B = dense("llama-3.1-8b", 8.03, 0.525, [32, 4096], [32, 8, 128]);

const CATALOGUE: readonly ModelShape[] = [
  LLAMA_3_8B,
  dense("qwen2.5-14b", 14.77, 0.779, [48, 5120], [40, 8, 128]),
  dense("qwen3-32b", 32.76, 0.778, [64, 5120], [64, 8, 128]),
  { ...dense("qwen3-30b-a3b", 30.53, 0.311, [48, 2048], [32, 4, 128]), activeParameters: 3.35e9 },
  dense("mistral-7b", 7.25, 0.134, [32, 4096], [32, 8, 128]),
  dense("gemma-2-9b", 9.24, 0, [42, 3584], [16, 8, 256]),
  dense("phi-4-14b", 14.66, 0.514, [40, 5120], [40, 10, 128]),
  dense("deepseek-coder-6.7b", 6.74, 0.132, [32, 4096], [32, 32, 128]),
  { ...dense("llama2-70b", 68.98, 0.262, [80, 8192], [64, 8, 128]), tensorParallel: 2 },
  { ...dense("llama-3.1-70b", 70.55, 1.051, [80, 8192], [64, 8, 128]), tensorParallel: 2 },
];

const BY_NAME: ReadonlyMap<string, ModelShape> = new Map(CATALOGUE.map((shape) => [shape.name, shape]));

export const MODEL_NAMES: readonly string[] = CATALOGUE.map(({ name }) => name);

/** The shape of a model; a name that the catalogue lacks is taken for a dense model of 8 billion parameters in 16 bits. */
export function modelShape(name: string): ModelShape {
  return BY_NAME.get(name) ?? { ...LLAMA_3_8B, name };
}

/** Memory of the weights on each GPU, MiB. */
export function weightsMib(shape: ModelShape): number {
  return Math.ceil((shape.parameters * shape.bytesPerWeight) / shape.tensorParallel / 2 ** 20);
}

/** Keys and values of one token on each GPU, in 16 bits. */
export function kvBytesPerToken(shape: ModelShape): number {
  return (2 * 2 * shape.layers * shape.kvHeads * shape.headDim) / shape.tensorParallel;
}
