// The priority manager's queue (C2): who is next. Strict bands from priority, first come first served within a band.
// Requests that ask for the same (same model, type, pin, capability, memory step, strategy) form a class: when the head of a
// class fits nowhere, none of the class does, so a pass costs a decision per class and never per waiting request.
import { ChurnMap } from "../../lib/churn-map.js";
import { Heap } from "../../lib/heap.js";
import { RankSet } from "../../lib/rank-set.js";
import { LinkedList, type ListEntry } from "../../lib/linked-list.js";
import type { ResourceEstimate } from "../model/decision.js";
import type { GpuId, RequestId } from "../model/ids.js";
import type { Priority, RequestSpec } from "../model/request.js";

/** A request in line. `sequence` is its place in the order of acceptance and survives a retry. */
export interface Waiting {
  readonly spec: RequestSpec;
  readonly sequence: number;
  readonly estimate: ResourceEstimate;
  /** The GPU that failed it last, to be avoided while there is another; "" when none. */
  readonly avoidGpuId: GpuId | "";
}

/**
 * `open` has to be tried against every GPU; `refused` fitted none, so only a GPU that changed since can take it; `hopeless`
 * fits no GPU of the fleet even when all are idle, so only a new GPU or runner can.
 */
export type Standing = "open" | "refused" | "hopeless";

/** Requests of one band that fit the same GPUs. */
export interface EligibilityClass {
  readonly key: string;
  readonly priority: Priority;
  readonly waiting: LinkedList<Waiting>;
  standing: Standing;
  /** The smallest memory need that was refused, MiB. A head that needs less opens the class again. */
  refusedMib: number;
}

const PRIORITIES: readonly Priority[] = [5, 4, 3, 2, 1];
/** Memory needs are compared in steps of this, so that similar requests share a class; a class is judged by its own head. */
const MEMORY_STEP_MIB = 512;

export class WaitingQueue {
  readonly #classes = new Map<string, EligibilityClass>();
  readonly #byStanding: { readonly [S in Standing]: Set<EligibilityClass> } = { open: new Set(), refused: new Set(), hopeless: new Set() };
  readonly #entries = new ChurnMap<RequestId, { readonly entry: ListEntry<Waiting>; readonly of: EligibilityClass }>();
  /** Sequences of those that wait, by priority. */
  readonly #bands = new Map<Priority, RankSet>(PRIORITIES.map((priority) => [priority, new RankSet()]));
  readonly #pinned = new Map<GpuId, number>();
  #bytes = 0;

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

  push(waiting: Waiting): void {
    const { priority, requestId } = waiting.spec;
    const key = classKey(waiting);
    let of = this.#classes.get(key);
    if (!of) {
      of = { key, priority, waiting: new LinkedList(), standing: "open", refusedMib: Number.POSITIVE_INFINITY };
      this.#classes.set(key, of);
      this.#byStanding.open.add(of);
    }
    const entry = insertBySequence(of.waiting, waiting);
    this.#entries.set(requestId, { entry, of });
    this.#count(waiting, 1);
    this.#judgeHead(of);
  }

  /** Takes a request out, wherever it stands; null when it does not wait. */
  remove(requestId: RequestId): Waiting | null {
    const found = this.#entries.get(requestId);
    if (!found) return null;
    const { entry, of } = found;
    of.waiting.remove(entry);
    this.#entries.delete(requestId);
    this.#count(entry.value, -1);
    if (of.waiting.size === 0) {
      this.#classes.delete(of.key);
      this.#byStanding[of.standing].delete(of);
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

  /**
   * The classes to try now, next first: highest band, then earliest accepted head; the refused ones too when
   * `withRefused`. The caller pushes a class back when its head has left and others wait behind it. O(classes).
   */
  line(withRefused: boolean): Heap<EligibilityClass> {
    const { open, refused } = this.#byStanding;
    return new Heap(comesBefore, withRefused ? [...open, ...refused] : [...open]);
  }

  /** Notes that the head of a class fitted no GPU. */
  refuse(of: EligibilityClass, standing: "refused" | "hopeless"): void {
    of.refusedMib = Math.min(of.refusedMib, head(of).estimate.memoryMib);
    this.#stand(of, standing);
  }

  /** Gives the hopeless another chance: GPUs or runners have changed. */
  reopenHopeless(): void {
    for (const of of this.#byStanding.hopeless) this.#open(of);
  }

  /** The first of every class, in no order. */
  *heads(): Iterable<Waiting> {
    for (const of of this.#classes.values()) yield head(of);
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
    if (of.standing !== "open" && head(of).estimate.memoryMib < of.refusedMib) this.#open(of);
  }

  #open(of: EligibilityClass): void {
    of.refusedMib = Number.POSITIVE_INFINITY;
    this.#stand(of, "open");
  }

  #stand(of: EligibilityClass, standing: Standing): void {
    this.#byStanding[of.standing].delete(of);
    of.standing = standing;
    this.#byStanding[standing].add(of);
  }
}

function head(of: EligibilityClass): Waiting {
  return of.waiting.head!.value;
}

function comesBefore(a: EligibilityClass, b: EligibilityClass): boolean {
  return a.priority > b.priority || (a.priority === b.priority && head(a).sequence < head(b).sequence);
}

function classKey({ spec, estimate, avoidGpuId }: Waiting): string {
  const { requirements } = spec;
  const memoryStep = Math.ceil(estimate.memoryMib / MEMORY_STEP_MIB);
  return `${spec.priority}\n${spec.modelId}\n${spec.type}\n${spec.specificGpuId}\n${spec.strategy}\n${avoidGpuId}\n${requirements.minComputeCapability},${requirements.computeUnits},${memoryStep}`;
}

/** New requests go to the end; a retried one is older than most and finds its place from the front. */
function insertBySequence(list: LinkedList<Waiting>, waiting: Waiting): ListEntry<Waiting> {
  if (!list.tail || list.tail.value.sequence < waiting.sequence) return list.append(waiting);
  let place = list.head;
  while (place && place.value.sequence < waiting.sequence) place = place.next;
  return list.insertBefore(place, waiting);
}
