// The contract of a runner: something on the node that does the work of one attempt.

/** One attempt, as a runner sees it. */
export interface Job {
  readonly requestId: string;
  /** Counts from 1. */
  readonly attempt: number;
  /** The GPU that the router chose. */
  readonly gpuId: string;
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
 * `unavailable` is the fault of the GPU, the runner or the node, and may succeed elsewhere.
 */
export type JobOutcome =
  | { readonly outcome: "succeeded"; readonly result: Uint8Array; readonly contentType: string; readonly statistics: JobStatistics }
  | {
      readonly outcome: "failed" | "unavailable" | "cancelled";
      /** Stable lower-case code, such as "exit_code", "bad_payload", "server_unreachable", "result_too_large". */
      readonly code: string;
      readonly message: string;
      readonly exitCode?: number;
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
  /** Ends everything that runs, and background work such as discovery. */
  close(): Promise<void>;
}
