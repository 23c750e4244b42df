// The contract of a runner: something on the node that does the work of one attempt.

/** One attempt, as a runner sees it. */
export interface Job {
  readonly requestId: string;
  /** Counts from 1. */
  readonly attempt: number;
  /** An earlier attempt had begun and saves what it has done: go on from there. */
  readonly continues: boolean;
  /** The GPUs that the router chose, at least one: the work runs on all of them at once. */
  readonly gpuIds: readonly string[];
  readonly modelId: string;
  /** "inference", "training", … */
  readonly type: string;
  readonly userId: string;
  readonly payload: Uint8Array;
  /** ms until the request times out; 0 without a time-out. The router enforces it; runners may use it to plan. */
  readonly timeLeftMs: number;
  /** From the request; 0 when unknown. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly memoryMib: number;
  readonly expectedDurationMs: number;
  /** It has to stop when the agent's lease runs out: the router may start it elsewhere then. */
  readonly mustNotRunTwice: boolean;
}

/** What a runner tells while it works. Calls after the outcome are ignored. */
export interface JobSink {
  /** The work has begun on the GPU. Call it once, before any output. */
  started(): void;
  /** fraction 0..1. */
  progress(fraction: number, message: string): void;
  /** A piece of live output, at most 64 KiB; larger pieces must be cut. */
  output(data: Uint8Array): void;
}

export interface JobStatistics {
  readonly runMs: number;
  /** 0 when nothing was streamed. */
  readonly firstOutputMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** 0 when unknown. */
  readonly peakMemoryMib: number;
}

/**
 * How an attempt ended. `failed` would fail again elsewhere (bad input, non-zero exit);
 * `unavailable` is the fault of the GPU, the runner or the node, and may succeed elsewhere; `fenced` was stopped because the
 * agent's lease had run out.
 */
export type JobOutcome =
  | { readonly outcome: "succeeded"; readonly result: Uint8Array; readonly contentType: string; readonly statistics: JobStatistics }
  | {
      readonly outcome: "failed" | "unavailable" | "cancelled" | "fenced";
      /** Stable lower-case code, such as "exit_code", "bad_payload", "server_unreachable", "result_too_large". */
      readonly code: string;
      readonly message: string;
      readonly exitCode?: number;
      /** The GPU is to blame for certain, or for certain not; absent when nobody knows. */
      readonly fault?: "gpu" | "none";
      /** What there is of a result, for people to read; may be empty. */
      readonly result: Uint8Array;
      readonly contentType: string;
      readonly statistics: JobStatistics;
    };

/** What a runner serves, as told to the router. */
export interface RunnerDescription {
  /** "*" stands for any. */
  readonly models: readonly string[];
  /** Any when empty. */
  readonly types: readonly string[];
  /** All of the node when empty. */
  readonly gpuIds: readonly string[];
  /** What it loads and unloads when told to, whether it serves it now or not; none by default. One GPU then. */
  readonly loadable?: readonly LoadableModel[];
  /** Tokens that its key-value cache holds over all its requests; unknown by default. */
  readonly kvCapacityTokens?: number;
}

/** A model that a runner can load. */
export interface LoadableModel {
  readonly modelId: string;
  /** GPU memory of its weights, MiB. */
  readonly memoryMib: number;
  /** Time from the order until it serves, ms. */
  readonly loadMs: number;
  /** What a token takes in the key-value cache; where it is given, the runner's capacity counts tokens of 128 KiB. */
  readonly kvTokenBytes?: number;
}

/** What a runner is told about a model. */
export interface ModelOrder {
  readonly modelId: string;
  readonly action: "load" | "unload";
}

/** What an inference engine says of itself. */
export interface EngineLoad {
  /** Requests that it computes. */
  readonly running: number;
  /** Requests that wait inside it. */
  readonly waiting: number;
  /** Share of its key-value cache in use, 0..1; absent when it does not say. */
  readonly kvUse?: number;
  /** Share of prompt tokens found in its cache since the last answer, 0..1; absent when it does not say. */
  readonly prefixHitRatio?: number;
}

/**
 * The `reason` of an abort that leaves no time for a clean end: the agent's lease has run out, and the router may start the
 * work elsewhere.
 */
export const STOP_AT_ONCE = "stop at once";

export interface Runner {
  /** Unique within the node. */
  readonly name: string;
  readonly kind: "openai" | "exec" | "simulated";
  describe(): RunnerDescription;
  /** Called when `describe()` would now answer otherwise; returns how to stop. */
  onChange(listener: () => void): () => void;
  /**
   * Does the work. Never rejects: every fault is an outcome. When `signal` aborts, stops as soon as it can and
   * answers "cancelled"; without any grace when the signal's reason is STOP_AT_ONCE. `maxResultBytes` bounds `result`; what is larger is a failure "result_too_large".
   */
  run(job: Job, sink: JobSink, limits: { readonly maxResultBytes: number }, signal: AbortSignal): Promise<JobOutcome>;
  /**
   * Loads or unloads a model that `describe()` names; what comes of it shows in `describe()` and is told by `onChange`. Left out
   * by runners whose models are not ours to change.
   */
  order?(order: ModelOrder): void;
  /**
   * Told at every word of the router: until when, by `performance.now()`, work that must not run twice may go on. For runners whose work
   * goes on while this process is stopped; the agent itself stops the work of all others.
   */
  leaseUntil?(atMs: number): void;
  /** How busy the engine behind it is; null when it does not tell now. Never rejects. Left out by runners without an engine. */
  engineLoad?(): Promise<EngineLoad | null>;
  /** Ends everything that runs, and background work such as discovery. */
  close(): Promise<void>;
}
