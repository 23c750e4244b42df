// How many GPUs those may have who want them to themselves and go before all others because they have waited too long. Their GPUs must run
// empty first, which costs everybody: they go so only as far as such work has not its share of the fleet anyway. Who has waited four times as long
// goes though others have it. Not durable: after a restart those that run have gone their usual way.
import type { Fleet } from "../fleet/fleet.js";
import type { RequestId } from "../model/ids.js";

/** Of the fleet's GPUs; one request may always go. Those who wait for answers keep the rest, however long the line of jobs is. */
const SHARE = 1 / 4;

export class OverdueShare {
  readonly #fleet: Fleet;
  readonly #gpusOf = new Map<RequestId, number>();
  #gpus = 0;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  /** A request has gone first and holds so many GPUs. */
  went(requestId: RequestId, gpus: number): void {
    this.ended(requestId);
    this.#gpusOf.set(requestId, gpus);
    this.#gpus += gpus;
  }

  /** Whatever it held it holds no more. */
  ended(requestId: RequestId): void {
    this.#gpus -= this.#gpusOf.get(requestId) ?? 0;
    this.#gpusOf.delete(requestId);
  }

  /** GPUs that may still be taken so, 0 or below when it is enough: beside all that somebody has to himself, or only beside those who went first. */
  left(besideAll: boolean): number {
    const { size, retiredIds, exclusive } = this.#fleet;
    const taken = besideAll ? exclusive.subarray(0, size).filter((count) => count > 0).length : this.#gpus;
    return Math.max(1, SHARE * (size - retiredIds.size)) - taken;
  }
}
