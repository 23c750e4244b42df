// Everything about the core that an operator can set. `config/` fills it; the core only reads it.

export interface CoreSettings {
  /** Strategy of requests that name none. */
  readonly strategy: string;
  /** Weights of the `weighted` strategy by scorer; a partial set is normalised by its sum. */
  readonly weights: Readonly<Record<string, number>>;
  /** Most requests that one GPU holds at a time. */
  readonly maxConcurrentTasksPerGpu: number;
  /** Share of a GPU's memory that may be in use after a placement, 0..1. */
  readonly memoryThreshold: number;
  /** A GPU that is this busy with work that is not ours gets none of ours, 0..1. */
  readonly utilizationThreshold: number;
  /** A GPU at or above this is critical, degrees Celsius. */
  readonly maxTemperatureCelsius: number;
  /** A GPU whose decayed error rate is above this is critical, 0..1. */
  readonly errorThreshold: number;
  /** How long a GPU that failed stays out, ms. */
  readonly gpuCooldownMs: number;
  /** Dispatches after the first before a request fails. */
  readonly maxRetries: number;
  /** Wait before a retry; lost GPUs and nodes are replaced without one, ms. */
  readonly retryDelayMs: number;
  /** Time-out of inference requests that set none, ms; 0 for none. Other types have none by default. */
  readonly requestTimeoutMs: number;
  readonly telemetryIntervalMs: number;
  /** How long a node may be silent before its work is taken away, ms. Longer than the agents' lease. */
  readonly nodeLostAfterMs: number;
  readonly maxQueuedRequests: number;
  /** Payload bytes of waiting requests. */
  readonly maxQueuedBytes: number;
}

/** The requirements' defaults (rows R2-R4, F1, F4). */
export const DEFAULT_CORE_SETTINGS: CoreSettings = {
  strategy: "weighted",
  weights: { usage: 0.35, priority: 0.25, type_compatibility: 0.15, performance: 0.15, health: 0.1 },
  maxConcurrentTasksPerGpu: 8,
  memoryThreshold: 0.9,
  utilizationThreshold: 0.95,
  maxTemperatureCelsius: 85,
  errorThreshold: 0.1,
  gpuCooldownMs: 300_000,
  maxRetries: 3,
  retryDelayMs: 1_000,
  requestTimeoutMs: 30_000,
  telemetryIntervalMs: 1_000,
  nodeLostAfterMs: 5_000,
  maxQueuedRequests: 100_000,
  maxQueuedBytes: 512 * 1024 * 1024,
};
