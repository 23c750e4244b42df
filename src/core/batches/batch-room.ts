// Which GPUs the next request of a batch may go to, so that each that gets any gets enough of them. Asked by the dispatcher for each
// decision about such a request; the filter `batch` applies it. Changes nothing.
//
// A GPU may get its first one only while enough are left to fill it up, and all that were begun before: then every GPU gets its share whatever
// the order in which room comes. GPUs that no longer serve the work do not count. Where GPUs of the batch have no room for a while, others
// take what is left: fewer on a GPU is better than none at all.
import type { Fleet } from "../fleet/fleet.js";
import { isPromised } from "../model/request.js";
import type { Waiting } from "../queue/eligibility-class.js";
import type { BatchSettings } from "../settings.js";
import type { Batch, BatchBook } from "./batch-book.js";

/** What a batch leaves to one of its requests. */
export interface BatchRoom {
  allows(gpu: number): boolean;
  /** It waits for a GPU that it is allowed; else it takes any where there is none. */
  readonly waits: boolean;
  /** In words. */
  needed(): string;
}

/** null for a request of no batch, and for one whose GPUs are its own affair: pinned to one, or with whole ones to itself. */
export function batchRoom(book: BatchBook, fleet: Fleet, settings: BatchSettings, waiting: Pick<Waiting, "spec" | "late" | "exclusive" | "avoidGpuId">, nowMs: number): BatchRoom | null {
  const { spec, late, exclusive, avoidGpuId } = waiting;
  const batch = book.get(spec.batch);
  if (!spec.batch || !batch || exclusive || spec.specificGpuId !== "") return null;
  const split = spec.batch.split ?? settings.split;
  const perGpu = Math.min(batch.size, split ? spec.batch.minPerGpu || settings.minPerGpu : batch.size);
  const { missing, begun, running } = sharesInService(batch, fleet, spec, perGpu);
  let placed = 0;
  for (const share of batch.shares.values()) placed += share.running;
  // What is left when this one is placed and all GPUs that were begun have their share.
  const spare = batch.size - batch.ended - placed - 1 - missing;
  const heldMs = batch.heldSinceMs === 0 ? 0 : nowMs - batch.heldSinceMs;
  // Promises and retries come first. One that shall not be split waits for its GPU as long as something of it runs there.
  const patient = heldMs <= settings.maxHoldMs || (!split && running > 0);
  return {
    allows(gpu) {
      const given = batch.shares.get(gpu)?.given ?? 0;
      if (given > 0) return given < perGpu || spare >= 0;
      return begun === 0 || spare >= perGpu - 1;
    },
    waits: patient && avoidGpuId === "" && (late || !isPromised(spec)),
    needed: () => neededText(batch, fleet, perGpu, split),
  };
}

/** GPUs of a batch that can still serve it: how many, what they lack of their share all together, what runs there. */
function sharesInService({ shares }: Batch, fleet: Fleet, { modelId, type }: Waiting["spec"], perGpu: number) {
  const { runnerOf } = fleet.runners.for(fleet, modelId, type, 1);
  const out = fleet.outOfServiceMask;
  let missing = 0;
  let begun = 0;
  let running = 0;
  for (const [gpu, share] of shares) {
    if ((fleet.blocked[gpu]! & out) !== 0 || runnerOf[gpu]! < 0) continue;
    missing += Math.max(0, perGpu - share.given);
    begun += 1;
    running += share.running;
  }
  return { missing, begun, running };
}

/** Of many GPUs the first few are named. */
const NAMED = 4;

function neededText({ size, shares }: Batch, fleet: Fleet, perGpu: number, split: boolean): string {
  const named = [...shares].slice(0, NAMED).map(([gpu, { given }]) => `${fleet.inventory[gpu]?.gpuId || "one that is gone"} has ${given}`);
  const more = shares.size > NAMED ? ` and ${shares.size - NAMED} more` : "";
  const where = named.length === 0 ? "" : `: ${named.join(", ")}${more}`;
  return split ? `a GPU of its batch of ${size}, at least ${perGpu} on each${where}` : `the one GPU of its batch of ${size}${where}`;
}
