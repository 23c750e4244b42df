// How many wait: by priority, by the GPU that they insist on, in bytes. Kept by waiting-queue.ts; read by whoever tells callers their place, sheds,
// or shows GPUs. Knows nothing of turns: within a priority it counts in the order of acceptance.
import { RankSet } from "../../lib/rank-set.js";
import type { GpuId } from "../model/ids.js";
import type { Priority } from "../model/request.js";
import type { Waiting } from "./eligibility-class.js";

const PRIORITIES: readonly Priority[] = [5, 4, 3, 2, 1];

export class WaitingCounts {
  /** Sequences of those that wait, by priority. */
  readonly #bands = new Map<Priority, RankSet>(PRIORITIES.map((priority) => [priority, new RankSet()]));
  readonly #pinned = new Map<GpuId, number>();
  #bytes = 0;

  add({ spec: { priority, specificGpuId, payload }, sequence }: Waiting): void {
    this.#band(priority).add(sequence);
    this.#bytes += payload.byteLength;
    if (specificGpuId !== "") this.#pinned.set(specificGpuId, this.pinnedTo(specificGpuId) + 1);
  }

  remove({ spec: { priority, specificGpuId, payload }, sequence }: Waiting): void {
    this.#band(priority).remove(sequence);
    this.#bytes -= payload.byteLength;
    if (specificGpuId === "") return;
    const pinned = this.pinnedTo(specificGpuId) - 1;
    if (pinned > 0) this.#pinned.set(specificGpuId, pinned);
    else this.#pinned.delete(specificGpuId);
  }

  /** Payload bytes of all that waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many wait for exactly this GPU. */
  pinnedTo(gpuId: GpuId): number {
    return this.#pinned.get(gpuId) ?? 0;
  }

  bandSize(priority: Priority): number {
    return this.#band(priority).size;
  }

  /** Requests ahead of one that waits: all of higher bands and the earlier ones of its own. */
  before({ spec: { priority }, sequence }: Waiting): number {
    return this.lengthBefore(priority) - this.bandSize(priority) + this.#band(priority).below(sequence);
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
}
