// The priority manager's queue (C2): who is next. Strict bands from priority, first come first served within a band.
// Requests that ask for the same (same model, type, pin, capability, memory step, strategy) form a class: when the head of a
// class fits nowhere, none of the class does, so a pass costs a decision per class and never per waiting request.
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

/** Requests of one band that fit the same GPUs. */
export interface EligibilityClass {
  readonly key: string;
  readonly priority: Priority;
  readonly waiting: LinkedList<Waiting>;
  /** Its head fitted no GPU; only GPUs that changed since can take it. */
  blocked: boolean;
  /** The scheduling pass that tried it against what changed. */
  triedInPass: number;
}

const PRIORITIES: readonly Priority[] = [5, 4, 3, 2, 1];
/** Memory needs are compared in steps of this, so that similar requests share a class; a class is judged by its own head. */
const MEMORY_STEP_MIB = 512;

export class WaitingQueue {
  readonly #bands = new Map<Priority, Map<string, EligibilityClass>>(PRIORITIES.map((priority) => [priority, new Map()]));
  readonly #bandSizes = new Map<Priority, number>(PRIORITIES.map((priority) => [priority, 0]));
  readonly #entries = new Map<RequestId, { readonly entry: ListEntry<Waiting>; readonly of: EligibilityClass }>();
  #bytes = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Payload bytes of all that waits. */
  get bytes(): number {
    return this.#bytes;
  }

  push(waiting: Waiting): void {
    const { priority } = waiting.spec;
    const band = this.#band(priority);
    const key = classKey(waiting);
    let of = band.get(key);
    if (!of) {
      of = { key, priority, waiting: new LinkedList(), blocked: false, triedInPass: 0 };
      band.set(key, of);
    }
    const entry = insertBySequence(of.waiting, waiting);
    this.#entries.set(waiting.spec.requestId, { entry, of });
    this.#bandSizes.set(priority, this.bandSize(priority) + 1);
    this.#bytes += waiting.spec.payload.byteLength;
  }

  /** Takes a request out, wherever it stands; null when it does not wait. */
  remove(requestId: RequestId): Waiting | null {
    const found = this.#entries.get(requestId);
    if (!found) return null;
    const { entry, of } = found;
    of.waiting.remove(entry);
    this.#entries.delete(requestId);
    this.#bandSizes.set(of.priority, this.bandSize(of.priority) - 1);
    this.#bytes -= entry.value.spec.payload.byteLength;
    if (of.waiting.size === 0) this.#band(of.priority).delete(of.key);
    return entry.value;
  }

  get(requestId: RequestId): Waiting | null {
    return this.#entries.get(requestId)?.entry.value ?? null;
  }

  /** The class whose head is next among those that `wanted` admits: highest band, then earliest accepted. */
  next(wanted: (of: EligibilityClass) => boolean): EligibilityClass | null {
    for (const priority of PRIORITIES) {
      let first: EligibilityClass | null = null;
      for (const of of this.#band(priority).values()) {
        if (!wanted(of)) continue;
        if (!first || of.waiting.head!.value.sequence < first.waiting.head!.value.sequence) first = of;
      }
      if (first) return first;
    }
    return null;
  }

  /** How many wait for exactly this GPU. O(classes). */
  pinnedTo(gpuId: GpuId): number {
    let count = 0;
    for (const band of this.#bands.values()) {
      for (const of of band.values()) if (of.waiting.head?.value.spec.specificGpuId === gpuId) count += of.waiting.size;
    }
    return count;
  }

  bandSize(priority: Priority): number {
    return this.#bandSizes.get(priority) ?? 0;
  }

  /** Requests ahead of it: all of higher bands and the earlier ones of its own. O(band). 0 when it does not wait. */
  position(requestId: RequestId): number {
    const found = this.#entries.get(requestId);
    if (!found) return 0;
    const { sequence, spec } = found.entry.value;
    let ahead = 0;
    for (const priority of PRIORITIES) {
      if (priority > spec.priority) ahead += this.bandSize(priority);
    }
    for (const of of this.#band(spec.priority).values()) {
      for (const waiting of of.waiting) {
        if (waiting.sequence >= sequence) break;
        ahead += 1;
      }
    }
    return ahead;
  }

  /** Requests ahead of one that would join the end of a band now. O(1). */
  lengthBefore(priority: Priority): number {
    let ahead = 0;
    for (const band of PRIORITIES) if (band >= priority) ahead += this.bandSize(band);
    return ahead;
  }

  #band(priority: Priority): Map<string, EligibilityClass> {
    return this.#bands.get(priority)!;
  }
}

function classKey({ spec, estimate, avoidGpuId }: Waiting): string {
  const { requirements } = spec;
  const memoryStep = Math.ceil(estimate.memoryMib / MEMORY_STEP_MIB);
  return `${spec.modelId}\n${spec.type}\n${spec.specificGpuId}\n${spec.strategy}\n${avoidGpuId}\n${requirements.minComputeCapability},${requirements.computeUnits},${memoryStep}`;
}

/** New requests go to the end; a retried one is older than most and finds its place from the front. */
function insertBySequence(list: LinkedList<Waiting>, waiting: Waiting): ListEntry<Waiting> {
  if (!list.tail || list.tail.value.sequence < waiting.sequence) return list.append(waiting);
  let place = list.head;
  while (place && place.value.sequence < waiting.sequence) place = place.next;
  return list.insertBefore(place, waiting);
}
