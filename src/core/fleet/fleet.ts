// What the router believes about its GPUs, in columns indexed by a small dense integer (the GPU's stable index).
// The ledger half (active, reserved) is a fold of records; the telemetry half is pushed by agents and never recorded.
// `apply` in records.ts and the engine write it; filters and scorers read the columns. It decides nothing.
import { assert } from "../../lib/assert.js";
import { ServiceTimes } from "../estimate/service-times.js";
import type { GpuInventory, GpuTelemetry, RunnerInfo, RunnerLoad } from "../model/gpu.js";
import type { GpuId, NodeId } from "../model/ids.js";
import { OutcomeColumns } from "./outcome-columns.js";
import { PrefixIndex } from "./prefix-index.js";
import { Reservations } from "./reservations.js";
import { RunnerTables } from "./runner-tables.js";
import { WorkLedger } from "./work-ledger.js";

/** A reason, one bit, for which a GPU takes no work at all, whatever the request. */
export interface StateFilter {
  readonly name: string;
  /** In words, what a GPU must be. */
  readonly needed: string;
  blocks(fleet: Fleet, gpu: number): boolean;
  /** It blocks for our own requests on the GPU, and for nothing else. */
  readonly passesWhenIdle?: boolean;
}

/** A node and what serves on it. */
export interface NodeEntry {
  readonly nodeId: NodeId;
  connected: boolean;
  /** Not connected since a moment ago: it keeps the work that it has. */
  suspect: boolean;
  /** New for each start of its agent; "" before the first hello of this router's life. */
  instanceId: string;
  runners: readonly RunnerInfo[];
  /** What the engines of its runners last said, by runner, and when that was so, ms. Empty while it is not connected. */
  readonly loads: Map<string, { readonly load: RunnerLoad; readonly atMs: number }>;
  readonly gpus: number[];
}

/** What a full GPU is; part of the core's settings. */
export interface LoadLimits {
  /** How many requests make a GPU count as fully busy. */
  readonly maxConcurrentTasksPerGpu: number;
  /** Share of its memory that may be in use, 0..1. */
  readonly memoryThreshold: number;
}

const FIRST_CAPACITY = 64;
/** A power of two. A follower that is further behind looks at every GPU. */
const RECENT_CHANGES = 256;
/** Performance index: each success moves it by this share. */
const PERFORMANCE_GAIN = 0.1;
/** Error rate: each outcome moves it by this share, so that about the last twenty count. */
const ERROR_RATE_GAIN = 0.05;

export class Fleet {
  readonly #stateFilters: readonly StateFilter[];
  readonly #limits: LoadLimits;
  readonly #indexOf = new Map<GpuId, number>();
  readonly nodes = new Map<NodeId, NodeEntry>();
  readonly inventory: GpuInventory[] = [];
  readonly nodeOf: NodeEntry[] = [];
  readonly runners = new RunnerTables();
  /** What placements and their ends taught, for strategies that go by it. */
  readonly outcomes = new OutcomeColumns();
  /** What its requests still have to do. */
  readonly work = new WorkLedger(new ServiceTimes());
  /** GPUs that are kept for somebody who waits. */
  readonly reservations = new Reservations();
  /** Which prompts each GPU has lately read. */
  readonly prefixes = new PrefixIndex();
  /** Last sample as it came, for people; null before the first. */
  readonly telemetry: (GpuTelemetry | null)[] = [];

  // Facts of the hardware.
  memoryTotalMib = new Float64Array(FIRST_CAPACITY);
  computeCapability = new Int32Array(FIRST_CAPACITY);
  multiprocessorCount = new Int32Array(FIRST_CAPACITY);
  powerLimitWatts = new Float64Array(FIRST_CAPACITY);
  // The ledger.
  active = new Int32Array(FIRST_CAPACITY);
  /** Requests that have the GPU to themselves; more than 1 only after the setting changed while they ran. */
  exclusive = new Int32Array(FIRST_CAPACITY);
  reservedMib = new Float64Array(FIRST_CAPACITY);
  // The last sample; NaN for what the device cannot say. Time 0 means that there is none.
  sampleAtMs = new Float64Array(FIRST_CAPACITY);
  usedMib = new Float64Array(FIRST_CAPACITY);
  utilizationPercent = new Float64Array(FIRST_CAPACITY);
  temperatureCelsius = new Float64Array(FIRST_CAPACITY);
  powerUsageWatts = new Float64Array(FIRST_CAPACITY);
  // What was placed or released since the sample and so cannot show in it.
  memorySinceMib = new Float64Array(FIRST_CAPACITY);
  activeSince = new Int32Array(FIRST_CAPACITY);
  #activeAtSample = new Int32Array(FIRST_CAPACITY);
  // Attempts whose runner has not begun, and what they reserve: not yet in any sample.
  #notStarted = new Int32Array(FIRST_CAPACITY);
  #notStartedMib = new Float64Array(FIRST_CAPACITY);
  // What outcomes taught.
  errorRate = new Float64Array(FIRST_CAPACITY);
  performanceIndex = new Float64Array(FIRST_CAPACITY);
  /** Taken out by an event until then, ms. */
  outUntilMs = new Float64Array(FIRST_CAPACITY);
  outReason: string[] = [];
  /**
   * Memory in use as far as can be known, MiB: telemetry plus what was placed since, never below what is reserved, never
   * above what there is.
   */
  effectiveUsedMib = new Float64Array(FIRST_CAPACITY);
  /** What may still be reserved below the memory threshold, MiB; negative when it is passed. */
  roomMib = new Float64Array(FIRST_CAPACITY);
  /** Busy share as far as can be known, 0..1: telemetry plus a slot for each request placed since, never below the ledger. */
  effectiveUtilization = new Float64Array(FIRST_CAPACITY);
  /** Bit k is set while `stateFilters[k]` blocks the GPU. */
  blocked = new Uint32Array(FIRST_CAPACITY);
  /** Grows with every change anybody can see; for WatchGpus and for columns that follow the fleet. */
  changeSequence = 0;
  changedAt = new Float64Array(FIRST_CAPACITY);
  /** The GPUs of the last changes: change n is at n modulo the length. */
  readonly #recentChanges = new Int32Array(RECENT_CHANGES);
  /** Grows when GPUs or runners come, go or change: when what was impossible may have become possible. */
  shapeSequence = 0;
  /** GPUs that may have become able to take work since the scheduler last looked. */
  readonly freed = new Set<number>();

  constructor(stateFilters: readonly StateFilter[], limits: LoadLimits) {
    assert(stateFilters.length <= 31, "at most 31 state filters fit the mask");
    this.#limits = limits;
    this.#stateFilters = stateFilters;
  }

  get size(): number {
    return this.inventory.length;
  }

  get stateFilters(): readonly StateFilter[] {
    return this.#stateFilters;
  }

  /** -1 when unknown. */
  indexOf(gpuId: GpuId): number {
    return this.#indexOf.get(gpuId) ?? -1;
  }

  /** Enters a GPU under `index`, or moves and updates a known one. Indexes are dense and never reused. */
  register(index: number, nodeId: NodeId, inventory: GpuInventory): void {
    assert(index <= this.size, "GPU indexes are dense");
    const node = this.#node(nodeId);
    if (index === this.size) {
      this.#grow(index + 1);
      this.telemetry.push(null);
      this.outReason.push("");
      this.performanceIndex[index] = 0.5;
      this.#forgetSample(index);
      this.#indexOf.set(inventory.gpuId, index);
    } else {
      const before = this.nodeOf[index];
      before?.gpus.splice(before.gpus.indexOf(index), 1);
    }
    this.inventory[index] = inventory;
    this.outcomes.register(index, inventory.name);
    this.work.register(index, inventory.name);
    this.nodeOf[index] = node;
    node.gpus.push(index);
    this.memoryTotalMib[index] = inventory.memoryTotalMib;
    this.computeCapability[index] = inventory.computeCapability;
    this.multiprocessorCount[index] = inventory.multiprocessorCount;
    this.powerLimitWatts[index] = inventory.powerLimitWatts;
    this.refresh(index);
    this.#reshaped();
  }

  setConnected(nodeId: NodeId, connected: boolean, instanceId: string, suspect = false): void {
    const node = this.#node(nodeId);
    node.connected = connected;
    node.suspect = suspect;
    if (connected) node.instanceId = instanceId;
    else node.loads.clear();
    for (const gpu of node.gpus) {
      if (!connected) this.#forgetSample(gpu);
      this.refresh(gpu);
    }
  }

  setRunners(nodeId: NodeId, runners: readonly RunnerInfo[]): void {
    const node = this.#node(nodeId);
    node.runners = runners;
    for (const { loadable = [] } of runners) for (const each of loadable) this.work.times.tell(each);
    for (const gpu of node.gpus) this.work.kvCapacityTokens[gpu] = kvCapacity(runners, this.inventory[gpu]!.gpuId);
    for (const name of node.loads.keys()) if (!runners.some((runner) => runner.name === name)) node.loads.delete(name);
    this.#reshaped();
    for (const gpu of node.gpus) this.refresh(gpu);
  }

  /** Counts a placement at once, before any telemetry can show it. */
  place(gpu: number, memoryMib: number, exclusive = false): void {
    this.outcomes.place(gpu);
    this.active[gpu]! += 1;
    if (exclusive) this.exclusive[gpu]! += 1;
    this.activeSince[gpu]! += 1;
    this.reservedMib[gpu]! += memoryMib;
    this.memorySinceMib[gpu]! += memoryMib;
    this.#notStarted[gpu]! += 1;
    this.#notStartedMib[gpu]! += memoryMib;
    this.refresh(gpu, false);
  }

  /** The runner of a placed attempt has begun: the next sample shows it. */
  started(gpu: number, memoryMib: number): void {
    this.#notStarted[gpu]! -= 1;
    this.#notStartedMib[gpu]! -= memoryMib;
  }

  release(gpu: number, memoryMib: number, hadStarted: boolean, exclusive = false): void {
    assert(this.active[gpu]! > 0, "a GPU releases only what was placed on it");
    this.active[gpu]! -= 1;
    if (exclusive) this.exclusive[gpu]! -= 1;
    this.activeSince[gpu]! -= 1;
    this.reservedMib[gpu]! -= memoryMib;
    this.memorySinceMib[gpu]! -= memoryMib;
    if (!hadStarted) this.started(gpu, memoryMib);
    this.refresh(gpu);
  }

  /** Takes a sample in. Load placed since it was taken stays counted on top of it. */
  observe(gpu: number, sample: GpuTelemetry, sampledAtMs: number): void {
    this.telemetry[gpu] = sample;
    this.sampleAtMs[gpu] = sampledAtMs;
    this.usedMib[gpu] = sample.memoryUsedMib;
    this.utilizationPercent[gpu] = sample.gpuUtilizationPercent;
    this.temperatureCelsius[gpu] = sample.temperatureCelsius;
    this.powerUsageWatts[gpu] = sample.powerUsageWatts;
    if (sample.powerLimitWatts > 0) this.powerLimitWatts[gpu] = sample.powerLimitWatts;
    this.memorySinceMib[gpu] = this.#notStartedMib[gpu]!;
    this.activeSince[gpu] = this.#notStarted[gpu]!;
    this.#activeAtSample[gpu] = this.active[gpu]!;
    this.refresh(gpu);
  }

  /** Keeps what engines say of themselves, for runners that the node has. */
  observeRunnerLoads(nodeId: NodeId, loads: readonly RunnerLoad[], nowMs: number): void {
    const node = this.#node(nodeId);
    for (const load of loads) {
      const runner = node.runners.find(({ name }) => name === load.runner);
      if (!runner) continue;
      node.loads.set(load.runner, { load, atMs: nowMs - load.ageMs });
      for (const gpu of node.gpus) if (runner.gpuIds.length === 0 || runner.gpuIds.includes(this.inventory[gpu]!.gpuId)) this.refresh(gpu, false);
    }
  }

  /** Falls back to the ledger where the last sample is older than `maxAgeMs`. */
  forgetStaleSamples(nowMs: number, maxAgeMs: number): void {
    for (let gpu = 0; gpu < this.size; gpu += 1) {
      if (this.sampleAtMs[gpu] === 0 || nowMs - this.sampleAtMs[gpu]! <= maxAgeMs) continue;
      this.#forgetSample(gpu);
      this.refresh(gpu);
    }
  }

  /** What an attempt's end says of its GPU. `fault` only when the GPU, its runner or its node was to blame. */
  learnOutcome(gpu: number, fault: boolean): void {
    this.errorRate[gpu]! += ((fault ? 1 : 0) - this.errorRate[gpu]!) * ERROR_RATE_GAIN;
    this.refresh(gpu);
  }

  /** How fast a success was against the likes of it, 0..1, 0.5 being the mean. */
  learnSpeed(gpu: number, speed: number): void {
    this.performanceIndex[gpu]! += (speed - this.performanceIndex[gpu]!) * PERFORMANCE_GAIN;
    this.refresh(gpu);
  }

  /** Takes a GPU out of service. One that is out for longer already stays so, for its first reason. */
  takeOut(gpu: number, reason: string, untilMs: number): void {
    if (untilMs <= this.outUntilMs[gpu]!) return;
    this.outUntilMs[gpu] = untilMs;
    this.outReason[gpu] = reason;
    this.refresh(gpu);
  }

  /** Puts a GPU back into service with a clean record, or its old one would throw it out again. */
  putBack(gpu: number): void {
    this.outUntilMs[gpu] = 0;
    this.outReason[gpu] = "";
    this.errorRate[gpu] = 0;
    this.refresh(gpu);
  }

  /** Ends cool-downs that are over. */
  expireCooldowns(nowMs: number): void {
    for (let gpu = 0; gpu < this.size; gpu += 1) {
      const until = this.outUntilMs[gpu]!;
      if (until !== 0 && until <= nowMs) this.putBack(gpu);
    }
  }

  /** Whether the last sample can be explained by our own work: some of it was here when the sample was taken. */
  ownWorkAtSample(gpu: number): boolean {
    return this.#activeAtSample[gpu]! > 0 || this.active[gpu]! > 0;
  }

  /**
   * Recomputes what keeps a GPU from taking work; called after every change to it. `mayHelp` is false for changes that
   * cannot make room for anybody.
   */
  refresh(gpu: number, mayHelp = true): void {
    this.#weighLoad(gpu);
    let mask = 0;
    const filters = this.#stateFilters;
    for (let bit = 0; bit < filters.length; bit += 1) if (filters[bit]!.blocks(this, gpu)) mask |= 1 << bit;
    this.blocked[gpu] = mask;
    if (mask === 0 && mayHelp) this.freed.add(gpu);
    this.changeSequence += 1;
    this.changedAt[gpu] = this.changeSequence;
    this.#recentChanges[this.changeSequence % RECENT_CHANGES] = gpu;
  }

  /** Calls `visit` for each GPU that changed after change number `sequence`; at times for one twice. O(changes). */
  eachChangedSince(sequence: number, visit: (gpu: number) => void): void {
    if (this.changeSequence - sequence > RECENT_CHANGES) {
      for (let gpu = 0; gpu < this.size; gpu += 1) if (this.changedAt[gpu]! > sequence) visit(gpu);
      return;
    }
    for (let change = sequence + 1; change <= this.changeSequence; change += 1) visit(this.#recentChanges[change % RECENT_CHANGES]!);
  }

  #reshaped(): void {
    this.shapeSequence += 1;
    this.runners.invalidate();
  }

  #weighLoad(gpu: number): void {
    const sampled = this.sampleAtMs[gpu]! > 0;
    const slots = this.#limits.maxConcurrentTasksPerGpu;
    const reserved = this.reservedMib[gpu]!;
    const usedMib = this.usedMib[gpu]!;
    const used = sampled && usedMib === usedMib ? usedMib + this.memorySinceMib[gpu]! : 0;
    this.effectiveUsedMib[gpu] = Math.min(Math.max(used, reserved), Math.max(this.memoryTotalMib[gpu]!, reserved));
    this.roomMib[gpu] = this.memoryTotalMib[gpu]! * this.#limits.memoryThreshold - this.effectiveUsedMib[gpu]!;
    const ledger = this.active[gpu]! / slots;
    const percent = this.utilizationPercent[gpu]!;
    const busy = sampled && percent === percent ? percent / 100 + this.activeSince[gpu]! / slots : 0;
    this.effectiveUtilization[gpu] = Math.min(1, Math.max(busy, ledger));
  }

  #forgetSample(gpu: number): void {
    this.sampleAtMs[gpu] = 0;
    this.usedMib[gpu] = 0;
    this.utilizationPercent[gpu] = Number.NaN;
    this.temperatureCelsius[gpu] = Number.NaN;
    this.powerUsageWatts[gpu] = Number.NaN;
  }

  #node(nodeId: NodeId): NodeEntry {
    let node = this.nodes.get(nodeId);
    if (!node) {
      node = { nodeId, connected: false, suspect: false, instanceId: "", runners: [], loads: new Map(), gpus: [] };
      this.nodes.set(nodeId, node);
    }
    return node;
  }

  #grow(size: number): void {
    if (size <= this.active.length) return;
    const capacity = this.active.length * 2;
    const wider = (old: Float64Array): Float64Array<ArrayBuffer> => {
      const column = new Float64Array(capacity);
      column.set(old);
      return column;
    };
    const widerInt = (old: Int32Array): Int32Array<ArrayBuffer> => {
      const column = new Int32Array(capacity);
      column.set(old);
      return column;
    };
    this.memoryTotalMib = wider(this.memoryTotalMib);
    this.powerLimitWatts = wider(this.powerLimitWatts);
    this.reservedMib = wider(this.reservedMib);
    this.sampleAtMs = wider(this.sampleAtMs);
    this.usedMib = wider(this.usedMib);
    this.utilizationPercent = wider(this.utilizationPercent);
    this.temperatureCelsius = wider(this.temperatureCelsius);
    this.powerUsageWatts = wider(this.powerUsageWatts);
    this.memorySinceMib = wider(this.memorySinceMib);
    this.#notStartedMib = wider(this.#notStartedMib);
    this.errorRate = wider(this.errorRate);
    this.performanceIndex = wider(this.performanceIndex);
    this.outUntilMs = wider(this.outUntilMs);
    this.changedAt = wider(this.changedAt);
    this.effectiveUsedMib = wider(this.effectiveUsedMib);
    this.roomMib = wider(this.roomMib);
    this.effectiveUtilization = wider(this.effectiveUtilization);
    this.computeCapability = widerInt(this.computeCapability);
    this.multiprocessorCount = widerInt(this.multiprocessorCount);
    this.active = widerInt(this.active);
    this.exclusive = widerInt(this.exclusive);
    this.activeSince = widerInt(this.activeSince);
    this.#notStarted = widerInt(this.#notStarted);
    this.#activeAtSample = widerInt(this.#activeAtSample);
    const blocked = new Uint32Array(capacity);
    blocked.set(this.blocked);
    this.blocked = blocked;
  }
}

/** The key-value cache of the runner that has a GPU for itself, tokens; 0 when unknown. */
function kvCapacity(runners: readonly RunnerInfo[], gpuId: GpuId): number {
  for (const { gpuIds, kvCapacityTokens } of runners) if (gpuIds.length === 1 && gpuIds[0] === gpuId) return kvCapacityTokens ?? 0;
  return 0;
}
