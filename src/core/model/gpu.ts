// A GPU: what it is, how it is, how it is used.
import type { GpuId, ModelId, NodeId } from "./ids.js";

/** What a GPU is. Comes with the node's hello and does not change. */
export interface GpuInventory {
  readonly gpuId: GpuId;
  readonly name: string;
  /** As `computeCapability()` gives it; 0 when unknown. */
  readonly computeCapability: number;
  readonly memoryTotalMib: number;
  /** 0 when unknown. */
  readonly multiprocessorCount: number;
  /** 0 when unknown. */
  readonly powerLimitWatts: number;
  readonly driverVersion: string;
  /** "" unless it is a MIG instance. */
  readonly parentGpuId: GpuId | "";
  readonly simulated: boolean;
}

/** What stands at the index of a GPU that was forgotten. */
export const FORGOTTEN_GPU: GpuInventory = {
  gpuId: "" as GpuId,
  name: "",
  computeCapability: 0,
  memoryTotalMib: 0,
  multiprocessorCount: 0,
  powerLimitWatts: 0,
  driverVersion: "",
  parentGpuId: "",
  simulated: false,
};

/** One telemetry sample. NaN stands for what the device cannot say. */
export interface GpuTelemetry {
  readonly gpuId: GpuId;
  readonly memoryUsedMib: number;
  readonly memoryFreeMib: number;
  /** 0..100. */
  readonly gpuUtilizationPercent: number;
  /** 0..100. */
  readonly memoryUtilizationPercent: number;
  readonly temperatureCelsius: number;
  readonly powerUsageWatts: number;
  readonly powerLimitWatts: number;
  readonly uptimeSeconds: number;
  /** NVML clock event reasons, a bit mask. */
  readonly clockEventReasons: number;
  readonly eccUncorrected: number;
  /** Memory of the processes that the driver names, MiB; absent where it names none, as inside most containers. */
  readonly processMemoryMib?: number;
  /** Bad rows of memory are remapped at the next reset; absent when not told. */
  readonly rowRemapPending?: boolean;
  /** Memory has bad rows that cannot be remapped any more; absent when not told. */
  readonly rowRemapFailed?: boolean;
  /** Bad pages of memory are retired at the next reset, on GPUs before row remapping; absent when not told. */
  readonly retiredPagesPending?: boolean;
}

/** Something on a node that can do work. */
export interface RunnerInfo {
  readonly name: string;
  readonly kind: string;
  /** "*" stands for any. */
  readonly models: readonly (ModelId | "*")[];
  /** Any when empty. */
  readonly types: readonly string[];
  /** All of the node when empty. */
  readonly gpuIds: readonly GpuId[];
  /** What it can load and unload when told to, loaded or not; absent or empty when what it serves is not ours to change. One GPU then. */
  readonly loadable?: readonly LoadableModel[];
  /**
   * Tokens that its key-value cache holds over all its requests; absent or 0 when unknown. Where `loadable` says what a token of each
   * model takes, these are tokens of 128 KiB.
   */
  readonly kvCapacityTokens?: number;
}

/** Whether a runner reaches a GPU of its node. */
export function reaches({ gpuIds }: Pick<RunnerInfo, "gpuIds">, gpuId: GpuId): boolean {
  return gpuIds.length === 0 || gpuIds.includes(gpuId);
}

/** A model that a runner can serve. */
export interface LoadableModel {
  readonly modelId: ModelId;
  /** GPU memory of its weights, MiB. */
  readonly memoryMib: number;
  /** Time until it serves, ms. */
  readonly loadMs: number;
  /** What a token takes in the key-value cache; absent for the usual 128 KiB. */
  readonly kvTokenBytes?: number;
}

/** What a runner is told about a model. */
export interface ModelOrder {
  readonly runner: string;
  readonly modelId: ModelId;
  readonly action: "load" | "unload";
}

/** What the inference engine behind a runner says of itself; counts work that did not come from the router too. */
export interface RunnerLoad {
  readonly runner: string;
  /** Requests that it computes. */
  readonly running: number;
  /** Requests that wait inside it. */
  readonly waiting: number;
  /** Share of its key-value cache in use, 0..1; absent when it does not say. */
  readonly kvUse?: number;
  /** Share of prompt tokens that it lately found in its cache, 0..1; absent when it does not say. */
  readonly prefixHitRatio?: number;
  /** Age of these figures when they were reported, ms. */
  readonly ageMs: number;
}

export type GpuState = "active" | "suspect" | "inactive" | "maintenance" | "draining" | "error";
export type HealthStatus = "healthy" | "warning" | "critical";

/**
 * Where a GPU is between well and out: `degraded` takes work when others do not, `draining` finishes what it has, `quarantined` is out,
 * `probation` has to prove itself.
 */
export type GpuHealthState = "healthy" | "degraded" | "draining" | "quarantined" | "probation";

/** What its node tells of a GPU beside samples and its loss. */
export type GpuReport =
  /** An error of the driver; `detail` is the text of the kernel's log, "" when there is none. */
  | { readonly kind: "xid"; readonly xid: number; readonly detail: string }
  /** Calls to the driver for it hang or crash; what runs on it may go on. */
  | { readonly kind: "hangs"; readonly reason: string }
  /** It answers again, or has been reset. */
  | { readonly kind: "restored"; readonly reason: string };

/** One change of a GPU's health and why. */
export interface HealthTransition {
  readonly atMs: number;
  readonly from: GpuHealthState;
  readonly to: GpuHealthState;
  /** The evidence, in words. */
  readonly reason: string;
}

/** The health of a GPU as it is shown to people. */
export interface GpuHealthView {
  readonly state: GpuHealthState;
  readonly sinceMs: number;
  /** When its quarantine ends if nothing else is wrong then, ms; 0 when it is in none, Infinity when nobody can tell. */
  readonly untilMs: number;
  /** What is wrong now, in words. */
  readonly signs: readonly string[];
  /** The last changes, oldest first. */
  readonly history: readonly HealthTransition[];
}

/** A GPU as it is shown to people. */
export interface GpuView {
  readonly inventory: GpuInventory;
  /** Small integer, stable across restarts. */
  readonly index: number;
  readonly nodeId: NodeId;
  readonly state: GpuState;
  /** Why it is not active; "" when it is. */
  readonly stateReason: string;
  /** When maintenance should be over, UTC ms; 0 when unknown or in service. */
  readonly maintenanceUntilMs?: number;
  readonly health: HealthStatus;
  readonly healthDetails: GpuHealthView;
  /** The last sample; null before the first. */
  readonly telemetry: GpuTelemetry | null;
  /** ms; -1 before the first sample. */
  readonly telemetryAgeMs: number;
  /** MiB promised to placed requests. */
  readonly memoryReservedMib: number;
  /** 0..1, 0.5 while unknown. */
  readonly performanceIndex: number;
  /** 0..1, decayed. */
  readonly errorRate: number;
  readonly activeRequests: number;
  /** A request has it to itself. */
  readonly exclusive: boolean;
  /** Waiting requests that are pinned to it. */
  readonly queuedRequests: number;
  readonly models: readonly string[];
  /** Of its runners whose engines tell, with their age now. */
  readonly engineLoads: readonly RunnerLoad[];
}
