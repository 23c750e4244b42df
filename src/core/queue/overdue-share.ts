// How much of the fleet those may hold who want GPUs to themselves and went before all others because they had waited too long. What goes
// its usual way is not counted: it takes nothing from anybody. Not durable: after a restart those that run have gone their usual way.
import type { RequestId } from "../model/ids.js";

/** Of the fleet's GPUs; one request may always go. Those who wait for answers keep the rest, however long the line of jobs is. */
const SHARE = 1 / 4;

export class OverdueShare {
  readonly #gpusOf = new Map<RequestId, number>();
  #gpus = 0;

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

  /** GPUs that may still be taken so, of `fleet`; 0 or below when it is enough. */
  left(fleet: number): number {
    return Math.max(1, SHARE * fleet) - this.#gpus;
  }
}
