// List: live requests first, newest first, then finished ones, in pages that stay put while requests come and go: none is
// missed. One that ends between two pages may be seen in both.
import type { ListQuery } from "../api/router-port.js";
import type { Request } from "../core/model/request.js";
import type { State } from "../core/state.js";
import type { History } from "./history.js";

/** Finished requests read for one page at most, so that a filter that matches nothing cannot hold up the loop. */
const MAX_SCANNED = 5_000;

export interface RequestPage {
  readonly requests: readonly Request[];
  readonly nextPageToken: string;
}

export class RequestList {
  readonly #state: State;
  readonly #history: History;

  constructor(state: State, history: History) {
    this.#state = state;
    this.#history = history;
  }

  /** null when the page token is not ours. A page may be short, even empty, while there are more: the token decides. */
  page(query: ListQuery): RequestPage | null {
    const token = /^(?:(l|f)(\d+))?$/.exec(query.pageToken);
    if (!token) return null;
    const matches = (request: Request): boolean =>
      (query.phases.length === 0 || query.phases.includes(request.phase)) && (query.userId === "" || query.userId === request.spec.userId);
    const found: Request[] = [];
    if (token[1] !== "f") {
      const below = token[1] === "l" ? Number(token[2]) : Number.POSITIVE_INFINITY;
      // What has just ended is in neither place until it is durable; it is shown with those that live.
      const present = [...this.#state.requests.values(), ...this.#history.pending];
      const live = present.filter((request) => request.sequence < below && matches(request)).sort((a, b) => b.sequence - a.sequence);
      found.push(...live.slice(0, query.pageSize));
      if (live.length > query.pageSize) return { requests: found, nextPageToken: `l${found[found.length - 1]!.sequence}` };
    }
    const shown = new Set(token[1] === "f" ? [] : [...this.#history.pending].map(({ spec }) => spec.requestId));
    let order = token[1] === "f" ? Number(token[2]) : 0;
    for (let scanned = 0; scanned < MAX_SCANNED; ) {
      const limit = Math.min(query.pageSize - found.length, MAX_SCANNED - scanned);
      if (limit === 0) return { requests: found, nextPageToken: `f${order}` };
      const page = this.#history.list(order, limit);
      found.push(...page.requests.filter((request) => matches(request) && !shown.has(request.spec.requestId)));
      scanned += limit;
      order = page.nextOrder;
      if (order === 0) return { requests: found, nextPageToken: "" };
    }
    return { requests: found, nextPageToken: `f${order}` };
  }
}
