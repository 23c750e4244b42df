// Finished requests and their results: what just ended in memory until it is durable, everything else in the journal.
import type { EndedRequest } from "../core/events.js";
import type { RequestId } from "../core/model/ids.js";
import type { Request } from "../core/model/request.js";
import { ChurnMap } from "../lib/churn-map.js";
import type { FinishedPage, Journal } from "../journal/journal.js";

export class History {
  readonly #journal: Journal;
  readonly #notDurable = new ChurnMap<RequestId, EndedRequest>();

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  add(ended: EndedRequest): void {
    this.#notDurable.set(ended.request.spec.requestId, ended);
  }

  /** The journal has them now. */
  durable(ended: readonly EndedRequest[]): void {
    for (const { request } of ended) this.#notDurable.delete(request.spec.requestId);
  }

  /** Those that have ended and are not durable yet, oldest first. */
  get pending(): Iterable<Request> {
    return [...this.#notDurable.values()].map(({ request }) => request);
  }

  find(requestId: RequestId): Request | null {
    return this.#notDurable.get(requestId)?.request ?? this.#journal.finished(requestId);
  }

  /** null when there is none. */
  result(requestId: RequestId): Uint8Array | null {
    return this.#notDurable.get(requestId)?.result ?? this.#journal.result(requestId);
  }

  /** Durable ones, newest first. */
  list(belowOrder: number, limit: number): FinishedPage {
    return this.#journal.listFinished(belowOrder, limit);
  }
}
