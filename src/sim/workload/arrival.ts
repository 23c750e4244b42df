// One request of a simulated workload, before it is sent. Sources make them from traces, the simulation submits them.

/** What a tenant wants of each of its requests; 0 for no wish. */
export interface TenantSlo {
  /** From arrival to the first output, ms. */
  readonly firstOutputMs: number;
  /** The answer is wanted within the larger of `totalFloorMs` and `totalFactor` times what the request takes alone on an idle GPU. */
  readonly totalFloorMs: number;
  readonly totalFactor: number;
}

/** Who sends: a user with one kind of work. */
export interface Tenant {
  readonly name: string;
  readonly modelId: string;
  /** "inference", "batch", "training" or another lower-case word. */
  readonly type: string;
  /** 1..5. */
  readonly priority: number;
  /** null for work without one. */
  readonly slo: TenantSlo | null;
}

export interface Arrival {
  /** Since the start of the simulation, ms. */
  readonly atMs: number;
  /** Index into the workload's tenants. */
  readonly tenant: number;
  readonly inputTokens: number;
  /** What it will turn out to produce; the router is not told. */
  readonly outputTokens: number;
  /** Chained hashes of the prompt's blocks of 512 tokens, 32 bits each; empty when the trace has none. */
  readonly prefixHashes: readonly number[];
  /** "" for none. */
  readonly sessionKey: string;
  /** GPUs at once; 1 unless it is a gang. */
  readonly gpus: number;
  /** Time on the GPUs of work that is not measured in tokens, on the reference kind, ms; 0 for work in tokens. */
  readonly workMs: number;
}

/** The name of a session among those of all tenants; "" for none. */
export function sessionName({ tenant, sessionKey }: Pick<Arrival, "tenant" | "sessionKey">): string {
  return sessionKey === "" ? "" : `${tenant}/${sessionKey}`;
}

/** Arrivals in the order of time, made as they are asked for: a workload may be larger than memory. */
export interface Workload {
  readonly tenants: readonly Tenant[];
  /** Where the last arrival lies at most, ms. */
  readonly durationMs: number;
  /** A fresh pass from the start; the same seed gives the same arrivals. */
  arrivals(seed: number): Iterable<Arrival>;
}
