// A node of the simulation: its GPUs work in virtual time, load models when told to, fail when they are to fail. Takes what a router
// sends to an agent and gives what an agent sends to a router. Driven by simulated-fleet.ts, which is the network.
import type { Event } from "../core/events.js";
import type { GpuInventory, GpuTelemetry, LoadableModel, ModelOrder, RunnerInfo } from "../core/model/gpu.js";
import type { AttemptRef, GpuId, ModelId, NodeId } from "../core/model/ids.js";
import { computeCapability } from "../core/model/request.js";
import { BatchingEngine, type EngineEvent } from "../simulated-gpu/batching-engine.js";
import { GPU_KINDS, type GpuKind } from "../simulated-gpu/gpu-kinds.js";
import { ModelResidency } from "../simulated-gpu/model-residency.js";
import { PrefixCache } from "../simulated-gpu/prefix-cache.js";
import { sessionBlocks } from "../simulated-gpu/session-blocks.js";
import { engineMemoryMib, MAX_SEQS, serviceTimes, TOKEN_BUDGET, type ServiceTimes } from "../simulated-gpu/service-times.js";
import type { SimulatedNode } from "./fleets.js";

/** One request as its GPU gets it. */
export interface SimulatedJob {
  readonly ref: AttemptRef;
  /** Row of the result. */
  readonly row: number;
  readonly modelId: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly prefixHashes: readonly number[];
  /** Whose turn it is, by a name that no other tenant's session has; "" or absent for none. */
  readonly session?: string;
  readonly workMs: number;
}

interface RunningJob extends SimulatedJob {
  startedAtMs: number;
  firstOutputAtMs: number;
}

/** What became of a job, for the result's columns. */
export interface JobWatcher {
  cached(row: number, tokens: number): void;
  firstOutput(row: number, atMs: number): void;
}


export interface SimulatedGpuOptions {
  readonly gpuId: string;
  readonly kind: GpuKind;
  /** Factor on every time of a straggler; 1 for a sound GPU. */
  readonly slowdown: number;
  /** Request types that it serves; any when empty. */
  readonly types: readonly string[];
  /** Models that it may hold. */
  readonly models: readonly string[];
  readonly loaded: readonly string[];
  /** Tokens that its prefix cache holds; null for what its memory leaves. */
  readonly prefixCacheTokens: number | null;
  /** Factor on the speed of loading. */
  readonly loadSpeed: number;
}

/** A GPU with its engine. */
export class SimulatedGpuWork {
  readonly options: SimulatedGpuOptions;
  readonly residency: ModelResidency;
  readonly engine: BatchingEngine;
  readonly jobs = new Map<number, RunningJob>();
  readonly #rows = new Map<string, number>();
  readonly #prefixes: PrefixCache;
  /** By model, its space in the prefix cache: another one each time that it is loaded. */
  readonly #spaces = new Map<string, number>();
  #lastSpace = 0;
  /** Models that were ordered, and when they serve. */
  readonly #loading = new Map<string, number>();
  /** Ordered, waiting for memory. */
  readonly #wanted: string[] = [];
  broken = false;

  constructor(options: SimulatedGpuOptions) {
    this.options = options;
    this.residency = new ModelResidency(options.kind, options.loadSpeed);
    for (const modelId of options.loaded) this.residency.preload(modelId);
    this.engine = new BatchingEngine({ times: (modelId) => this.#times(modelId), maxSeqs: MAX_SEQS, tokenBudget: TOKEN_BUDGET, slowdown: options.slowdown });
    const kvMibPerToken = serviceTimes(options.kind, options.models[0] ?? "").kvMibPerToken;
    this.#prefixes = new PrefixCache(options.prefixCacheTokens ?? this.residency.kvMib / kvMibPerToken);
  }

  /** When something happens here next, ms. */
  nextAtMs(): number {
    let next = this.engine.nextAtMs();
    for (const readyAtMs of this.#loading.values()) next = Math.min(next, readyAtMs);
    return next;
  }

  /** A job comes; false when its model is not served now. */
  begin(job: SimulatedJob, nowMs: number, watcher: JobWatcher): boolean {
    if (this.broken) return false;
    if (job.workMs === 0 && !this.residency.begin(job.modelId, nowMs)) return false;
    this.jobs.set(job.row, { ...job, startedAtMs: nowMs, firstOutputAtMs: Number.NaN });
    this.#rows.set(job.ref.requestId, job.row);
    if (job.workMs > 0) {
      this.engine.addWork({ id: job.row, workMs: job.workMs }, nowMs);
      return true;
    }
    // The last token is read in any case: it gives the first output.
    const { session = "", prefixHashes } = job;
    const named = prefixHashes.length > 0;
    const found = this.#prefixes.match(named ? prefixHashes : sessionBlocks(session, job.inputTokens), this.#spaceOf(job.modelId));
    const cachedTokens = Math.min(found, Math.max(0, job.inputTokens - 1));
    if (cachedTokens > 0) watcher.cached(job.row, cachedTokens);
    // The answer of a turn is part of the next one's prompt.
    this.#prefixes.insert(named ? prefixHashes : sessionBlocks(session, job.inputTokens + job.outputTokens), this.#spaceOf(job.modelId));
    this.engine.add({ id: job.row, modelId: job.modelId, inputTokens: job.inputTokens, cachedTokens, outputTokens: job.outputTokens }, nowMs);
    return true;
  }

  /** Takes a job out, with what is left of its work; null when it is not here. */
  cancel(requestId: string, nowMs: number): RunningJob | null {
    const row = this.#rows.get(requestId);
    const job = row === undefined ? undefined : this.jobs.get(row);
    const removed = job ? this.engine.remove(job.row, nowMs) : null;
    if (!job || !removed) return null;
    this.#forget(job, nowMs);
    return { ...job, workMs: removed.workLeftMs };
  }

  /** What happened up to now; `changed` when other models are served than before. */
  advance(nowMs: number): { readonly events: readonly EngineEvent[]; readonly changed: boolean } {
    let changed = false;
    for (const [modelId, readyAtMs] of this.#loading) {
      if (readyAtMs > nowMs) continue;
      this.#loading.delete(modelId);
      changed = true;
    }
    return { events: this.engine.advance(nowMs), changed };
  }

  /** A job has ended; true when models are other ones than before. */
  ended(job: RunningJob, nowMs: number): boolean {
    const freed = this.#forget(job, nowMs);
    return (this.#wanted.length > 0 && this.#loadWanted(nowMs)) || freed;
  }

  order({ modelId, action }: ModelOrder, nowMs: number): void {
    if (this.broken) return;
    if (action === "unload") {
      this.residency.unload(modelId);
      const place = this.#wanted.indexOf(modelId);
      if (place >= 0) this.#wanted.splice(place, 1);
      this.engine.retime(nowMs);
    } else if (!this.#wanted.includes(modelId)) {
      this.#wanted.push(modelId);
    }
    this.#loadWanted(nowMs);
  }

  /** All work is gone. */
  breakDown(nowMs: number): void {
    this.broken = true;
    this.#spaces.clear();
    for (const job of Array.from(this.jobs.values())) this.cancel(job.ref.requestId, nowMs);
  }

  /** The runner as its agent tells of it. */
  describe(nowMs: number): RunnerInfo {
    const { gpuId, models, types } = this.options;
    const described = this.residency.describe(models, nowMs);
    return {
      ...described,
      name: `simulated-${gpuId}`,
      kind: "simulated",
      models: described.models as ModelId[],
      types,
      gpuIds: [gpuId as GpuId],
      loadable: described.loadable as LoadableModel[],
    };
  }

  telemetry(nowMs: number): GpuTelemetry {
    const { gpuId, kind } = this.options;
    const total = GPU_KINDS[kind].memoryTotalMib;
    const used = Math.min(total, engineMemoryMib(kind));
    // As NVML counts: any kernel in the sample period makes it busy.
    const busy = this.engine.running > 0 ? 100 : 0;
    return {
      gpuId: gpuId as GpuId,
      memoryUsedMib: used,
      memoryFreeMib: total - used,
      gpuUtilizationPercent: busy,
      memoryUtilizationPercent: busy / 2,
      temperatureCelsius: 40 + busy / 4,
      powerUsageWatts: GPU_KINDS[kind].powerLimitWatts * (0.15 + busy / 200),
      powerLimitWatts: GPU_KINDS[kind].powerLimitWatts,
      uptimeSeconds: nowMs / 1000,
      clockEventReasons: 0,
      eccUncorrected: 0,
    };
  }

  /** True when it was the last of a model on its way out: the others have its memory. */
  #forget(job: RunningJob, nowMs: number): boolean {
    this.jobs.delete(job.row);
    this.#rows.delete(job.ref.requestId);
    const freed = job.workMs === 0 && this.residency.end(job.modelId);
    if (freed) this.engine.retime(nowMs);
    return freed;
  }

  /** Loads what was ordered as far as there is room. */
  #loadWanted(nowMs: number): boolean {
    let loaded = false;
    for (const modelId of this.#wanted.slice()) {
      const kvUsedMib = this.engine.kvUse * this.residency.kvMib;
      const outcome = this.residency.load(modelId, kvUsedMib, nowMs);
      if (outcome.outcome === "no_room") continue;
      this.#wanted.splice(this.#wanted.indexOf(modelId), 1);
      this.#loading.set(modelId, Math.max(nowMs, outcome.readyAtMs));
      if (outcome.outcome === "loading") this.#spaces.delete(modelId);
      this.engine.retime(nowMs);
      loaded = true;
    }
    return loaded;
  }

  #spaceOf(modelId: string): number {
    const space = this.#spaces.get(modelId) ?? (this.#lastSpace += 1);
    this.#spaces.set(modelId, space);
    return space;
  }

  #times(modelId: string): ServiceTimes {
    return this.residency.state(modelId, 0) === "absent" ? serviceTimes(this.options.kind, modelId) : this.residency.times(modelId);
  }
}

/** The inventory of a simulated GPU as its agent would report it. */
function inventoryOf(gpuId: string, kind: GpuKind): GpuInventory {
  const figures = GPU_KINDS[kind];
  return {
    gpuId: gpuId as GpuId,
    name: `Simulated NVIDIA ${figures.product}`,
    computeCapability: computeCapability(figures.computeCapability),
    memoryTotalMib: figures.memoryTotalMib,
    multiprocessorCount: figures.multiprocessorCount,
    powerLimitWatts: figures.powerLimitWatts,
    driverVersion: "simulated",
    parentGpuId: "",
    simulated: true,
  };
}

/** The runners of a node: the engine of each GPU, and one for training, which may use several GPUs at once. */
export function runnersOf(gpus: readonly SimulatedGpuWork[], nowMs: number): RunnerInfo[] {
  const trains = gpus.filter(({ options: { types } }) => types.length === 0 || types.includes("training"));
  const gpuIds = trains.map(({ options }) => options.gpuId as GpuId);
  const training: RunnerInfo = { name: "simulated-training", kind: "simulated", models: ["training" as ModelId], types: [], gpuIds };
  return [...gpus.map((gpu) => gpu.describe(nowMs)), ...(gpuIds.length > 0 ? [training] : [])];
}

/** An agent's hello. */
export function helloOf(node: SimulatedNode, gpus: readonly SimulatedGpuWork[], nowMs: number): Extract<Event, { kind: "node_connected" }> {
  return {
    kind: "node_connected",
    nodeId: node.nodeId as NodeId,
    instanceId: `${node.nodeId}-1`,
    gpus: gpus.map(({ options }) => inventoryOf(options.gpuId, options.kind)),
    runners: runnersOf(gpus, nowMs),
    held: [],
  };
}
