// What the router believes about its GPUs, in columns indexed by a small dense integer (the GPU's stable index): their load
// (load-columns.ts), their health (health-columns.ts), their nodes and runners, and what keeps each from taking work.
// `apply` in records.ts, the engine and its health write it; filters and scorers read the columns. It decides nothing.
import { assert } from "../../lib/assert.js";
import { wider } from "../../lib/wider.js";
import { ServiceTimes } from "../estimate/service-times.js";
import { FORGOTTEN_GPU, reaches, type GpuInventory, type GpuTelemetry, type RunnerInfo, type RunnerLoad } from "../model/gpu.js";
import type { GpuId, NodeId } from "../model/ids.js";
import { forgetOldFigures, tellLedger } from "./engine-figures.js";
import { HealthColumns, type HealthVerdict } from "./health-columns.js";
import { FIRST_CAPACITY, LoadColumns, type LoadLimits } from "./load-columns.js";
import type { GpuMaintenance } from "../model/maintenance.js";
import { ModelRoom } from "./model-room.js";
import { newNode, type NodeEntry } from "./node-entry.js";
import { OutcomeColumns } from "./outcome-columns.js";
import { PrefixIndex } from "./prefix-index.js";
import { Reservations } from "./reservations.js";
import { SessionIndex } from "./session-index.js";
import { noLongerServed, RunnerTables } from "./runner-tables.js";
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

/** A power of two. A follower that is further behind looks at every GPU. */
const RECENT_CHANGES = 256;
/** Performance index: each success moves it by this share. */
const PERFORMANCE_GAIN = 0.1;

const NO_NODE = "" as NodeId;

export class Fleet extends LoadColumns {
  readonly #stateFilters: readonly StateFilter[];
  /** The bits of `blocked` that our own requests on a GPU have nothing to do with. */
  readonly outOfServiceMask: number;
  readonly #indexOf = new Map<GpuId, number>();
  /** Ids of GPUs that were forgotten in this life of the router, by index: for those who still show them. */
  readonly retiredIds = new Map<number, GpuId>();
  readonly nodes = new Map<NodeId, NodeEntry>();
  readonly inventory: GpuInventory[] = [];
  readonly nodeOf: NodeEntry[] = [];
  readonly runners = new RunnerTables();
  /** What placements and their ends taught, for strategies that go by it. */
  readonly outcomes = new OutcomeColumns();
  /** What its requests still have to do. */
  readonly work: WorkLedger;
  /** GPUs that are kept for somebody who waits. */
  readonly reservations = new Reservations();
  /** What models can do without of the GPUs that serve them. */
  readonly modelRoom = new ModelRoom();
  /** How well each GPU is; written by the core's health through `judged`. */
  readonly health = new HealthColumns();
  /** Which prompts each GPU has lately read. */
  readonly prefixes = new PrefixIndex();
  /** Where the contexts of sessions lie. */
  readonly sessions = new SessionIndex();
  /** Last sample as it came, for people; null before the first. */
  readonly telemetry: (GpuTelemetry | null)[] = [];

  /** Speed against the likes of it, learned from outcomes, 0..1. */
  performanceIndex = new Float64Array(FIRST_CAPACITY);
  /** GPUs that an operator has taken out, and why; by index. Changed by maintenance-book.ts. */
  readonly maintenance = new Map<number, GpuMaintenance>();
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
    super(limits);
    assert(stateFilters.length <= 31, "at most 31 state filters fit the mask");
    this.#stateFilters = stateFilters;
    this.outOfServiceMask = stateFilters.reduce((mask, { passesWhenIdle }, bit) => (passesWhenIdle ? mask : mask | (1 << bit)), 0);
    this.work = new WorkLedger(new ServiceTimes(limits.maxConcurrentTasksPerGpu));
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

  /** The node that is connected with this GPU now; "" when there is none. */
  connectedNodeOf(gpuId: GpuId): NodeId | "" {
    const node = this.nodeOf[this.indexOf(gpuId)];
    return node?.connected ? node.nodeId : "";
  }

  /** Enters a GPU under `index`, or moves and updates a known one. Indexes are dense and never reused. */
  register(index: number, nodeId: NodeId, inventory: GpuInventory): void {
    assert(index <= this.size, "GPU indexes are dense");
    const node = this.#node(nodeId);
    if (index === this.size) {
      this.#grow(index + 1);
      this.telemetry.push(null);
      this.performanceIndex[index] = 0.5;
      this.forgetSample(index);
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
    this.describe(index, inventory);
    this.refresh(index);
    this.#reshaped();
  }

  /** Forgets a GPU that holds nothing. Its index stays, of no node. */
  retire(index: number): void {
    assert(this.active[index] === 0, "what is forgotten holds nothing");
    const before = this.nodeOf[index]!;
    const { gpuId } = this.inventory[index]!;
    this.register(index, NO_NODE, FORGOTTEN_GPU);
    this.#indexOf.delete(gpuId);
    this.retiredIds.set(index, gpuId);
    this.telemetry[index] = null;
    if (before.gpus.length === 0 && !before.connected) this.nodes.delete(before.nodeId);
  }

  isRetired(index: number): boolean {
    return this.inventory[index] === FORGOTTEN_GPU;
  }

  setConnected(nodeId: NodeId, connected: boolean, instanceId: string, suspect = false): void {
    const node = this.#node(nodeId);
    node.connected = connected;
    node.suspect = suspect;
    if (connected && instanceId !== node.instanceId) {
      // Another process of the agent, so other engines.
      for (const gpu of node.gpus) this.cachesLost(gpu);
      node.instanceId = instanceId;
      node.toldUpTo = 0;
    }
    if (!connected) node.loads.clear();
    for (const gpu of node.gpus) {
      if (!connected) this.forgetSample(gpu);
      this.refresh(gpu);
    }
  }

  setRunners(nodeId: NodeId, runners: readonly RunnerInfo[]): void {
    const node = this.#node(nodeId);
    // What was read for a model goes with it.
    for (const gpu of node.gpus) for (const modelId of noLongerServed(this.inventory[gpu]!.gpuId, node.runners, runners)) this.cachesLost(gpu, modelId);
    node.runners = runners;
    for (const { loadable = [] } of runners) for (const each of loadable) this.work.times.tell(each);
    for (const gpu of node.gpus) this.work.kvCapacityTokens[gpu] = kvCapacity(runners, this.inventory[gpu]!.gpuId);
    for (const name of node.loads.keys()) if (!runners.some((runner) => runner.name === name)) node.loads.delete(name);
    this.#reshaped();
    for (const gpu of node.gpus) this.refresh(gpu);
  }

  /** What a GPU has read is gone: for one model, or for all. */
  cachesLost(gpu: number, modelId?: string): void {
    this.prefixes.forget(gpu, modelId);
    this.sessions.forget(gpu, modelId);
  }

  /** Counts a placement at once, before any telemetry can show it. */
  place(gpu: number, memoryMib: number, exclusive = false): void {
    this.outcomes.place(gpu);
    this.addLoad(gpu, memoryMib, exclusive);
    if (exclusive) this.modelRoom.take(gpu);
    this.refresh(gpu, false);
  }

  release(gpu: number, memoryMib: number, hadStarted: boolean, exclusive = false): void {
    this.removeLoad(gpu, memoryMib, hadStarted, exclusive);
    this.refresh(gpu);
  }

  /** Takes a sample in. Load placed since it was taken stays counted on top of it. */
  observe(gpu: number, sample: GpuTelemetry, sampledAtMs: number): void {
    this.telemetry[gpu] = sample;
    this.takeSample(gpu, sample, sampledAtMs);
    this.refresh(gpu);
  }

  /** Keeps what engines say of themselves, for runners that the node has. */
  observeRunnerLoads(nodeId: NodeId, loads: readonly RunnerLoad[], nowMs: number): void {
    const node = this.#node(nodeId);
    const told = new Set<number>();
    for (const load of loads) {
      const runner = node.runners.find(({ name }) => name === load.runner);
      if (!runner) continue;
      node.loads.set(load.runner, { load, atMs: nowMs - load.ageMs });
      for (const gpu of node.gpus) if (reaches(runner, this.inventory[gpu]!.gpuId)) told.add(gpu);
    }
    for (const gpu of told) {
      tellLedger(this.work, node, gpu, this.inventory[gpu]!, nowMs);
      this.refresh(gpu, false);
    }
  }

  /** Falls back to the ledger where the last sample, or what an engine tells, is older than `maxAgeMs`. */
  forgetStaleSamples(nowMs: number, maxAgeMs: number): void {
    for (const node of this.nodes.values()) forgetOldFigures(this.work, node, this.inventory, nowMs, maxAgeMs);
    for (let gpu = 0; gpu < this.size; gpu += 1) {
      if (this.sampleAtMs[gpu] === 0 || nowMs - this.sampleAtMs[gpu]! <= maxAgeMs) continue;
      this.forgetSample(gpu);
      this.refresh(gpu);
    }
  }

  /** How fast a success was against the likes of it, 0..1, 0.5 being the mean. */
  learnSpeed(gpu: number, speed: number): void {
    this.performanceIndex[gpu]! += (speed - this.performanceIndex[gpu]!) * PERFORMANCE_GAIN;
    this.refresh(gpu);
  }

  /** What became of a GPU's health. */
  judged(gpu: number, verdict: HealthVerdict): void {
    this.health.write(gpu, verdict);
    this.refresh(gpu);
  }

  /**
   * Recomputes what keeps a GPU from taking work; called after every change to it. `mayHelp` is false for changes that
   * cannot make room for anybody.
   */
  refresh(gpu: number, mayHelp = true): void {
    this.weighLoad(gpu);
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

  #node(nodeId: NodeId): NodeEntry {
    let node = this.nodes.get(nodeId);
    if (!node) {
      node = newNode(nodeId);
      this.nodes.set(nodeId, node);
    }
    return node;
  }

  #grow(size: number): void {
    if (size <= this.active.length) return;
    const capacity = this.active.length * 2;
    this.widen(capacity);
    this.health.widen(capacity);
    this.performanceIndex = wider(this.performanceIndex, capacity);
    this.changedAt = wider(this.changedAt, capacity);
    this.blocked = wider(this.blocked, capacity);
  }
}

/** The key-value cache of the runner that has a GPU for itself, tokens; 0 when unknown. */
function kvCapacity(runners: readonly RunnerInfo[], gpuId: GpuId): number {
  for (const { gpuIds, kvCapacityTokens } of runners) if (gpuIds.length === 1 && gpuIds[0] === gpuId) return kvCapacityTokens ?? 0;
  return 0;
}
