// The priority manager's queue (C2): who is next. Strict bands from priority; within a band the user with the least virtual
// time; within a user the earliest due, else the earliest accepted. What can no longer be in time waits in a band of its own.
// Requests that fit the same GPUs form a class: when the head of a class fits nowhere, the rest is not tried either, so a
// pass costs a decision per class and never per waiting request.
import { ChurnMap } from "../../lib/churn-map.js";
import { Heap } from "../../lib/heap.js";
import { RankSet } from "../../lib/rank-set.js";
import type { ListEntry } from "../../lib/linked-list.js";
import type { ResourceEstimate } from "../model/decision.js";
import type { GpuId, RequestId } from "../model/ids.js";
import type { Priority, RequestSpec } from "../model/request.js";
import { EligibilityClass, isEarlier, type Standing, type Waiting } from "./eligibility-class.js";
import { FairShare } from "./fair-share.js";

export type { EligibilityClass, Standing, Waiting };

const PRIORITIES: readonly Priority[] = [5, 4, 3, 2, 1];
/** The late wait behind all that can still be in time, and before priority 1, where nobody waits for an answer. */
const LATE_BAND = 1.5;
const BANDS: readonly number[] = [...PRIORITIES, LATE_BAND];
/** Memory needs are compared in steps of this, so that similar requests share a class; a class is judged by its own head. */
const MEMORY_STEP_MIB = 512;

export class WaitingQueue {
  readonly #maxWaitMs: number;
  readonly #classes = new Map<string, EligibilityClass>();
  readonly #byStanding: { readonly [S in Standing]: Set<EligibilityClass> } = { open: new Set(), refused: new Set(), hopeless: new Set() };
  readonly #entries = new ChurnMap<RequestId, { readonly entry: ListEntry<Waiting>; readonly of: EligibilityClass }>();
  /** Sequences of those that wait, by priority. */
  readonly #bands = new Map<Priority, RankSet>(PRIORITIES.map((priority) => [priority, new RankSet()]));
  readonly #shares = new Map<number, FairShare>(BANDS.map((band) => [band, new FairShare()]));
  /** Classes whose requests want their GPUs to themselves. */
  readonly #exclusive = new Set<EligibilityClass>();
  /** Such requests that have come, ever. */
  exclusiveArrivals = 0;
  readonly #pinned = new Map<GpuId, number>();
  #bytes = 0;

  /** Whose head has waited longer than `maxWaitMs` goes first, whatever its band: no band starves another for ever. */
  constructor(maxWaitMs = Number.POSITIVE_INFINITY) {
    this.#maxWaitMs = maxWaitMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Payload bytes of all that waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether some class has to be tried against every GPU. */
  get hasOpen(): boolean {
    return this.#byStanding.open.size > 0;
  }

  get hasExclusive(): boolean {
    return this.#exclusive.size > 0;
  }

  push(waiting: Waiting): void {
    const { userId, requestId } = waiting.spec;
    const key = classKey(waiting);
    let of = this.#classes.get(key);
    if (!of) {
      of = new EligibilityClass(key, bandOf(waiting));
      this.#classes.set(key, of);
      this.#byStanding.open.add(of);
      if (waiting.exclusive) this.#exclusive.add(of);
    }
    if (waiting.exclusive) this.exclusiveArrivals += 1;
    const share = this.#share(of.band).arrive(userId);
    const entry = of.add(waiting, share);
    this.#entries.set(requestId, { entry, of });
    this.#count(waiting, 1);
    this.#judgeHead(of);
  }

  /** Takes a request out, wherever it stands; null when it does not wait. */
  remove(requestId: RequestId): Waiting | null {
    const found = this.#entries.get(requestId);
    if (!found) return null;
    const { entry, of } = found;
    const { userId } = entry.value.spec;
    of.remove(entry);
    this.#share(of.band).leave(userId);
    this.#entries.delete(requestId);
    this.#count(entry.value, -1);
    if (of.isEmpty) {
      this.#classes.delete(of.key);
      this.#byStanding[of.standing].delete(of);
      this.#exclusive.delete(of);
    } else {
      this.#judgeHead(of);
    }
    return entry.value;
  }

  get(requestId: RequestId): Waiting | null {
    return this.#entries.get(requestId)?.entry.value ?? null;
  }

  /** Whether it waits for a GPU that the fleet does not have. */
  isHopeless(requestId: RequestId): boolean {
    return this.#entries.get(requestId)?.of.standing === "hopeless";
  }

  /** Moves a request that cannot be in time to those that are served when nobody else wants the GPU; the class where it is now. */
  demote(requestId: RequestId): EligibilityClass | null {
    const waiting = this.remove(requestId);
    if (!waiting) return null;
    this.push({ ...waiting, late: true });
    return this.#entries.get(requestId)!.of;
  }

  /** GPU time that a request is going to get, as estimated; called while it still waits. */
  charge(requestId: RequestId, gpuMs: number): void {
    const found = this.#entries.get(requestId);
    if (found) this.#share(found.of.band).charge(found.entry.value.spec.userId, gpuMs);
  }

  /** By how much a charge was too low; `late` as it was when it was charged. */
  settle(spec: RequestSpec, late: boolean, gpuMs: number): void {
    this.#share(bandOf({ spec, late })).settle(spec.userId, gpuMs);
  }

  /**
   * The classes to try now, next first: who has waited too long, then by band, by virtual time, by due time. The refused
   * ones too when `withRefused`. Taken from with `next`. O(classes).
   */
  line(withRefused: boolean, nowMs: number): Heap<Place> {
    const { open, refused } = this.#byStanding;
    const places: Place[] = [];
    for (const of of open) places.push(this.#place(of, nowMs));
    if (withRefused) for (const of of refused) places.push(this.#place(of, nowMs));
    return new Heap(comesBefore, places);
  }

  /** The same for those who want their GPUs to themselves and may get them some day. */
  exclusiveLine(nowMs: number): Heap<Place> {
    const places: Place[] = [];
    for (const of of this.#exclusive) if (of.standing !== "hopeless") places.push(this.#place(of, nowMs));
    return new Heap(comesBefore, places);
  }

  /** Takes the next class out of a line; undefined at its end. A user who was served meanwhile has moved back. */
  next(line: Heap<Place>, nowMs: number): EligibilityClass | undefined {
    for (let place = line.pop(); place; place = line.pop()) {
      // A class may stand in a line twice: when its late ones came in during the pass.
      if (place.of.isEmpty) continue;
      const now = this.#place(place.of, nowMs);
      if (now.virtualMs === place.virtualMs && now.head === place.head) return place.of;
      line.push(now);
    }
    return undefined;
  }

  /** Puts a class back into a line when somebody of it still waits. */
  putBack(line: Heap<Place>, of: EligibilityClass, nowMs: number): void {
    if (!of.isEmpty) line.push(this.#place(of, nowMs));
  }

  #place(of: EligibilityClass, nowMs: number): Place {
    const { head } = of;
    const band = this.bandOf(head, nowMs);
    return { of, band, virtualMs: band === Number.POSITIVE_INFINITY ? 0 : of.virtualMs, head };
  }

  /** Whose turn it is: by priority; the late before priority 1; Infinity for who has waited too long. */
  bandOf(waiting: Pick<Waiting, "spec" | "late" | "acceptedAtMs">, nowMs: number): number {
    return nowMs - waiting.acceptedAtMs > this.#maxWaitMs ? Number.POSITIVE_INFINITY : bandOf(waiting);
  }

  /** Notes that the head of a class fitted no GPU. */
  refuse(of: EligibilityClass, standing: "refused" | "hopeless", healsWithTime: boolean): void {
    const { estimate } = of.head;
    of.refusedMib = Math.min(of.refusedMib, estimate.memoryMib);
    of.refusedTokens = Math.min(of.refusedTokens, tokensOf(estimate));
    of.healsWithTime = healsWithTime;
    this.#stand(of, standing);
  }

  /** Gives the hopeless another chance: GPUs or runners have changed. */
  reopenHopeless(): void {
    for (const of of this.#byStanding.hopeless) this.#open(of);
  }

  /** Gives those another chance that only the clock keeps out. */
  reopenHealing(): void {
    for (const of of this.#byStanding.refused) if (of.healsWithTime) this.#open(of);
  }

  /** The first of every class, in no order. */
  *heads(): Iterable<Waiting> {
    for (const of of this.#classes.values()) yield of.head;
  }

  /** How many wait for exactly this GPU. */
  pinnedTo(gpuId: GpuId): number {
    return this.#pinned.get(gpuId) ?? 0;
  }

  bandSize(priority: Priority): number {
    return this.#band(priority).size;
  }

  /** Requests ahead of it: all of higher bands and the earlier ones of its own. 0 when it does not wait. */
  position(requestId: RequestId): number {
    const waiting = this.get(requestId);
    if (!waiting) return 0;
    const { priority } = waiting.spec;
    return this.lengthBefore(priority) - this.bandSize(priority) + this.#band(priority).below(waiting.sequence);
  }

  /** Requests ahead of one that would join the end of a band now. */
  lengthBefore(priority: Priority): number {
    let ahead = 0;
    for (const band of PRIORITIES) if (band >= priority) ahead += this.bandSize(band);
    return ahead;
  }

  #share(band: number): FairShare {
    return this.#shares.get(band)!;
  }

  #band(priority: Priority): RankSet {
    return this.#bands.get(priority)!;
  }

  #count({ spec, sequence }: Waiting, by: 1 | -1): void {
    const { priority, specificGpuId, payload } = spec;
    if (by === 1) this.#band(priority).add(sequence);
    else this.#band(priority).remove(sequence);
    this.#bytes += by * payload.byteLength;
    if (specificGpuId === "") return;
    const pinned = this.pinnedTo(specificGpuId) + by;
    if (pinned > 0) this.#pinned.set(specificGpuId, pinned);
    else this.#pinned.delete(specificGpuId);
  }

  /** What was refused to the old head may fit a new one that needs less. */
  #judgeHead(of: EligibilityClass): void {
    if (of.standing === "open") return;
    const { estimate } = of.head;
    if (estimate.memoryMib < of.refusedMib || tokensOf(estimate) < of.refusedTokens) this.#open(of);
  }

  #open(of: EligibilityClass): void {
    of.refusedMib = Number.POSITIVE_INFINITY;
    of.refusedTokens = Number.POSITIVE_INFINITY;
    this.#stand(of, "open");
  }

  #stand(of: EligibilityClass, standing: Standing): void {
    this.#byStanding[of.standing].delete(of);
    of.standing = standing;
    this.#byStanding[standing].add(of);
  }
}

/** A class with what its place in line hangs on. */
export interface Place {
  readonly of: EligibilityClass;
  readonly band: number;
  readonly virtualMs: number;
  readonly head: Waiting;
}

function comesBefore(a: Place, b: Place): boolean {
  if (a.band !== b.band) return a.band > b.band;
  if (a.virtualMs !== b.virtualMs) return a.virtualMs < b.virtualMs;
  return isEarlier(a.head, b.head);
}

function bandOf({ spec, late }: Pick<Waiting, "spec" | "late">): number {
  return late ? Math.min(LATE_BAND, spec.priority) : spec.priority;
}

function tokensOf(estimate: ResourceEstimate): number {
  return (estimate.inputTokens ?? 0) + (estimate.outputTokens ?? 0);
}

function classKey(waiting: Waiting): string {
  const { spec, late, estimate, avoidGpuId } = waiting;
  const { requirements, wishes } = spec;
  const memoryStep = Math.ceil(estimate.memoryMib / MEMORY_STEP_MIB);
  // What is promised something, and what is not, fit different GPUs; so does what may run again and what may not.
  const band = `${bandOf(waiting)}${late ? "late" : ""}${wishes ? "wishes" : ""}${spec.idempotent ? "" : "once"}`;
  return `${band}\n${spec.modelId}\n${spec.type}\n${spec.specificGpuId}\n${spec.strategy}\n${avoidGpuId}\n${requirements.minComputeCapability},${requirements.computeUnits},${memoryStep},${wishes?.gpus ?? 1}`;
}
