// The state: what the fold of the records gives. Only `apply` in records.ts changes its durable half.
import { ChurnMap } from "../lib/churn-map.js";
import { hash32 } from "../lib/random.js";
import { TimerWheel } from "../lib/timer-wheel.js";
import { assert } from "../lib/assert.js";
import { Fleet, type StateFilter } from "./fleet/fleet.js";
import type { LoadLimits } from "./fleet/load-columns.js";
import { BatchBook } from "./batches/batch-book.js";
import { readBefore } from "./fleet/read-before.js";
import { MaintenanceBook } from "./maintenance/maintenance-book.js";
import type { ResourceEstimate } from "./model/decision.js";
import type { GpuId, NodeId, RequestId } from "./model/ids.js";
import { dueAtMs, firstOutputDueAtMs, isExclusive, isTerminal, wishesOf, type Request, type RunStatistics } from "./model/request.js";
import type { QuotaSettings } from "./model/quota.js";
import { OverdueShare } from "./queue/overdue-share.js";
import { type QueueOrder, WaitingQueue, type Waiting } from "./queue/waiting-queue.js";
import { Quotas } from "./quota/quotas.js";

/** Width of the deadline buckets: a time-out is at most this late. */
const DEADLINE_BUCKET_MS = 50;

/** A request that waits for its retry time before it goes back in line. */
export interface Retry {
  readonly waiting: Waiting;
  readonly retryAtMs: number;
}

/** The settings that the state needs. */
export interface StateLimits extends LoadLimits {
  /** How long a band may keep another waiting, ms. */
  readonly maxWaitMs: number;
  /** Request types that have their GPUs to themselves. */
  readonly exclusiveTypes: readonly string[];
  readonly quota: QuotaSettings;
  readonly hybrid: QueueOrder;
}

/** Without a wish a request is due this long after its acceptance: those with a deadline go before it, but not for ever. */
const UNHURRIED_MS = 60_000;

/** What a live attempt holds. */
interface Holding {
  readonly gpus: readonly number[];
  /** On each of them. */
  readonly memoryMib: number;
  /** Nobody else may use them. */
  readonly exclusive: boolean;
}

export class State {
  epoch = 0;
  /** Requests that have not ended. */
  readonly requests = new ChurnMap<RequestId, Request>();
  nextSequence = 1;
  endedCount = 0;
  readonly fleet: Fleet;
  readonly queue: WaitingQueue;
  /** Of GPUs for those who wanted them to themselves and had waited too long. */
  readonly overdue: OverdueShare;
  /** What users and teams may have, have and have had. */
  readonly quotas: Quotas;
  /** What has become of the requests of batches. */
  readonly batches = new BatchBook();
  /** What operators have taken out of service. */
  readonly maintenance: MaintenanceBook;
  readonly #exclusiveTypes: readonly string[];
  readonly deadlines = new TimerWheel<RequestId>(DEADLINE_BUCKET_MS);
  readonly retries = new TimerWheel<RequestId>(DEADLINE_BUCKET_MS);
  readonly #retrying = new ChurnMap<RequestId, Retry>();
  readonly #holdings = new ChurnMap<RequestId, Holding>();
  /** Live attempts that may be stopped for more urgent work, as far as that makes sense: not those that are measured in tokens. */
  readonly preemptible = new Set<RequestId>();
  /** Live attempts by node, so that the loss of a node finds its work. */
  readonly #onNode = new Map<NodeId, Set<RequestId>>();

  constructor(stateFilters: readonly StateFilter[], limits: StateLimits) {
    this.fleet = new Fleet(stateFilters, limits);
    this.overdue = new OverdueShare(this.fleet);
    this.quotas = new Quotas(limits.quota);
    this.maintenance = new MaintenanceBook(this.fleet);
    this.queue = new WaitingQueue(limits.maxWaitMs, this.quotas.weights, limits.hybrid, (besideAll) => this.overdue.left(besideAll));
    this.#exclusiveTypes = limits.exclusiveTypes;
  }

  /** Requests placed or running on a node, in the order of acceptance: the same however this state came about. */
  onNode(nodeId: NodeId): readonly Request[] {
    return this.inOrder([...(this.#onNode.get(nodeId) ?? [])]);
  }

  /** Nodes with placed or running requests, connected or not; by name. */
  busyNodes(): readonly NodeId[] {
    return [...this.#onNode.keys()].sort();
  }

  /** The live ones among `requestIds`, each once, in the order of acceptance. */
  inOrder(requestIds: readonly RequestId[]): readonly Request[] {
    const live = [...new Set(requestIds)].map((requestId) => this.requests.get(requestId)).filter((request) => request !== undefined);
    return live.sort((a, b) => a.sequence - b.sequence);
  }

  /** MiB that the request's live attempt reserves on each of its GPUs; 0 without one. */
  reservedMib(request: Request): number {
    return this.#holdings.get(request.spec.requestId)?.memoryMib ?? 0;
  }

  /** The GPUs that a request's live attempt holds; none without one. */
  heldBy(request: Request): readonly number[] {
    return this.#holdings.get(request.spec.requestId)?.gpus ?? [];
  }

  get waitingForRetry(): number {
    return this.#retrying.size;
  }

  /** Takes `gpus`, all of one node, for the live attempt of a request. */
  hold(request: Request, gpus: readonly number[], memoryMib: number, estimate: ResourceEstimate, atMs: number): void {
    const exclusive = isExclusive(request.spec, this.#exclusiveTypes);
    this.#holdings.set(request.spec.requestId, { gpus, memoryMib, exclusive });
    this.quotas.placed(request.spec, gpus, estimate.durationMs);
    let onNode = this.#onNode.get(request.nodeId as NodeId);
    if (!onNode) {
      onNode = new Set();
      this.#onNode.set(request.nodeId as NodeId, onNode);
    }
    onNode.add(request.spec.requestId);
    if (estimate.outputTokens === undefined && wishesOf(request.spec).preemptible) this.preemptible.add(request.spec.requestId);
    for (const gpu of gpus) this.fleet.place(gpu, memoryMib, exclusive);
    // Several GPUs that work as one are none of the kinds that rates are known of, and nobody else may come to them.
    if (gpus.length === 1) this.#holdTokens(request, gpus[0]!, estimate, atMs);
  }

  #holdTokens(request: Request, gpu: number, estimate: ResourceEstimate, atMs: number): void {
    const { inputTokens = 0, outputTokens = 0 } = estimate;
    const { requestId, modelId } = request.spec;
    const { prefixHashes } = wishesOf(request.spec);
    const cachedTokens = readBefore(this.fleet, request.spec, inputTokens, gpu, atMs);
    this.fleet.prefixes.placed(gpu, modelId, prefixHashes);
    this.fleet.sessions.placed(request.spec, gpu, inputTokens, atMs);
    const firstDueAtMs = firstOutputDueAtMs(request.spec, request.acceptedAtMs);
    this.fleet.work.place(gpu, { requestId, modelId, inputTokens, cachedTokens, outputTokens, firstDueAtMs, dueAtMs: dueAtMs(request.spec, request.acceptedAtMs) }, atMs);
  }

  /** Gives back what the live attempt holds; does nothing when there is none. */
  release(request: Request, atMs: number, measured: RunStatistics | null): void {
    const { requestId } = request.spec;
    const holding = this.#holdings.get(requestId);
    if (!holding) return;
    this.#holdings.delete(requestId);
    this.overdue.ended(requestId);
    this.quotas.released(request.spec, holding.gpus, request.decision!.estimate.durationMs);
    this.#letGo(request.spec.userId);
    this.preemptible.delete(requestId);
    const onNode = this.#onNode.get(request.nodeId as NodeId);
    onNode?.delete(requestId);
    if (onNode?.size === 0) this.#onNode.delete(request.nodeId as NodeId);
    const [only] = holding.gpus;
    if (measured && only !== undefined && holding.gpus.length === 1) this.fleet.sessions.ended(request.spec, only, measured.inputTokens + measured.outputTokens, atMs);
    for (const gpu of holding.gpus) this.fleet.work.release(gpu, requestId, atMs, measured);
    for (const gpu of holding.gpus) this.fleet.release(gpu, holding.memoryMib, request.phase === "running", holding.exclusive);
  }

  /** A user may have room again under his quota, and so may those of his team. */
  #letGo(userId: string): void {
    const { queue, quotas } = this;
    if (!queue.holdsAnybody) return;
    queue.letGo(userId);
    const team = quotas.user(userId)?.team;
    if (team) for (const [other] of queue.heldHeads()) if (quotas.user(other)?.team === team) queue.letGo(other);
  }

  /** The runner of a request's live attempt has begun, on all its GPUs. */
  started(request: Request): void {
    const { gpus, memoryMib } = this.#holdings.get(request.spec.requestId)!;
    for (const gpu of gpus) this.fleet.started(gpu, memoryMib);
  }

  /** In line for the first time. */
  wait(request: Request, estimate: ResourceEstimate): void {
    this.queue.push(this.#waitingOf(request, estimate, ""));
  }

  /** Back in line at `retryAtMs`, at its old place. */
  waitAgain(request: Request, estimate: ResourceEstimate, avoidGpuId: GpuId | "", retryAtMs: number, nowMs: number): void {
    const { spec } = request;
    const waiting = this.#waitingOf(request, estimate, avoidGpuId);
    if (retryAtMs <= nowMs) {
      this.queue.push(waiting);
      return;
    }
    this.#retrying.set(spec.requestId, { waiting, retryAtMs });
    this.retries.schedule(spec.requestId, retryAtMs);
  }

  #waitingOf({ spec, sequence, acceptedAtMs }: Request, estimate: ResourceEstimate, avoidGpuId: GpuId | ""): Waiting {
    const due = Math.min(dueAtMs(spec, acceptedAtMs), acceptedAtMs + UNHURRIED_MS);
    return { spec, sequence, acceptedAtMs, dueAtMs: due, late: false, estimate, exclusive: isExclusive(spec, this.#exclusiveTypes), avoidGpuId };
  }

  /** The retry that a request waits for; null when it does not. */
  retryOf(requestId: RequestId): Retry | null {
    return this.#retrying.get(requestId) ?? null;
  }

  /** Puts a request whose retry time has come back in line; a stale timer finds nothing. */
  retryDue(requestId: RequestId): void {
    const retry = this.#retrying.get(requestId);
    if (!retry) return;
    this.#retrying.delete(requestId);
    this.queue.push(retry.waiting);
  }

  leaveQueue(requestId: RequestId): void {
    this.queue.remove(requestId);
    const retry = this.#retrying.get(requestId);
    if (retry) {
      this.#retrying.delete(requestId);
      this.retries.cancel(requestId, retry.retryAtMs);
    }
  }

  /**
   * A 32-bit digest of the durable half: the same on any machine that folded the same records. O(live requests): 9 ms for
   * 100,000, so requests go in by their sequence and not by the letters of their ids.
   */
  digest(): number {
    let digest = hash32(`${this.epoch},${this.nextSequence},${this.endedCount},${this.requests.size},${this.fleet.size}`);
    for (const request of this.requests.values()) {
      digest = fold(digest, request.sequence);
      if (request.phase === "queued") digest = fold(digest, -1);
      else for (const gpu of this.#holdings.get(request.spec.requestId)!.gpus) digest = fold(digest, gpu);
      digest = fold(digest, request.attempt * 4 + (request.phase === "running" ? 2 : 0) + (request.stop ? 1 : 0));
    }
    if (!this.batches.empty) digest = fold(digest, this.batches.digest());
    if (!this.maintenance.empty) digest = fold(digest, this.maintenance.digest());
    return digest;
  }

  /** Checks what must hold after every step; throws on the first that does not. For tests and `doctor`. O(live requests + GPUs). */
  check(): void {
    const { active, exclusive, reservedMib, size } = this.fleet;
    const countOf = new Int32Array(size);
    const exclusiveOf = new Int32Array(size);
    const reservedOf = new Float64Array(size);
    let queuedBytes = 0;
    for (const [requestId, request] of this.requests) {
      const holding = this.#holdings.get(requestId);
      const waiting = this.queue.get(requestId);
      const placed = request.phase === "placed" || request.phase === "running";
      assert(!isTerminal(request.phase), "what has ended is not live");
      assert(placed === (holding !== undefined), "exactly the placed requests hold a GPU");
      assert(placed === (this.#onNode.get(request.nodeId as NodeId)?.has(requestId) ?? false), "a node knows exactly what is placed on it");
      assert(placed || (waiting !== null) !== this.#retrying.has(requestId), "what is not placed waits, in one place");
      assert(!placed || (waiting === null && !this.#retrying.has(requestId)), "what is placed does not wait");
      queuedBytes += waiting?.spec.payload.byteLength ?? 0;
      if (!holding) continue;
      assert(new Set(holding.gpus).size === holding.gpus.length, "a request holds a GPU once");
      for (const gpu of holding.gpus) {
        countOf[gpu]! += 1;
        if (holding.exclusive) exclusiveOf[gpu]! += 1;
        reservedOf[gpu]! += holding.memoryMib;
      }
    }
    this.batches.check([...this.requests.values()].map(({ spec }) => ({ spec, gpus: this.#holdings.get(spec.requestId)?.gpus ?? [] })));
    assert(this.queue.size + this.#retrying.size + this.#holdings.size === this.requests.size, "only live requests wait or hold a GPU");
    assert(this.queue.counts.bytes === queuedBytes, "the queue counts its payload bytes");
    for (let gpu = 0; gpu < size; gpu += 1) {
      assert(countOf[gpu] === active[gpu], "the ledger counts what is placed");
      assert(exclusiveOf[gpu] === exclusive[gpu], "the ledger counts what has its GPUs to itself");
      assert(Math.abs(reservedOf[gpu]! - reservedMib[gpu]!) < 1e-6, "the ledger reserves what placed requests hold");
    }
  }
}

/** One word into a digest: each bit of either can change about half of the result. */
function fold(digest: number, word: number): number {
  const mixed = Math.imul(digest ^ word, 0x9e3779b1);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
