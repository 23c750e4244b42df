// What workloads are built of: a stream of requests from some senders, without tenants yet. Sources make streams (trace.ts,
// servegen-stream.ts, synthetic.ts); loop, scale, cut and split turn streams into streams; compose.ts makes a workload of them.

/** One request of a stream: an arrival whose sender is not a tenant yet. */
export interface StreamRequest {
  /** Since the start of the stream, ms. */
  readonly atMs: number;
  /** Index into the stream's senders. */
  readonly sender: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly prefixHashes: readonly number[];
  readonly sessionKey: string;
  readonly gpus: number;
  readonly workMs: number;
}

export interface Stream {
  /** Every request lies in [0, durationMs); Infinity for one without an end. */
  readonly durationMs: number;
  readonly senders: readonly string[];
  /** By sender, the model that its requests ask for, in the trace's words; "" where it names none. A sender that asks for several is there as often. */
  readonly asked?: readonly string[];
  /**
   * A fresh pass in the order of time from `fromMs` (0 unless given) on. The same seed gives the same requests, wherever the pass begins.
   */
  requests(seed: number, fromMs?: number): Iterable<StreamRequest>;
}

/**
 * A stream whose requests are those of another, each turned into one other or left out. `begin` is called once a pass, with its
 * seed; what it returns must keep the order of time.
 */
export function changed(stream: Stream, begin: (seed: number) => (request: StreamRequest) => StreamRequest | null): Stream {
  return {
    ...stream,
    *requests(seed, fromMs) {
      const change = begin(seed);
      for (const request of stream.requests(seed, fromMs)) {
        const result = change(request);
        if (result !== null) yield result;
      }
    },
  };
}
