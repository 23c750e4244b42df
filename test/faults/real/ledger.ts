// What a client knows of its requests, kept apart from the router: what was acknowledged, and how each was first seen to end. What the
// router says later must agree. Filled by load.ts; its verdict is what the kill tests assert.

/** How a request ended, as the router told it: all that may never change again. */
export interface End {
  /** "completed", "failed" or "cancelled". */
  readonly state: string;
  /** Everything else that is fixed with it, in a form that compares. */
  readonly details: string;
}

export interface Verdict {
  readonly sent: number;
  readonly acknowledged: number;
  readonly ended: number;
  /** Acknowledged, and later unknown to the router. */
  readonly lost: readonly string[];
  /** Seen to end in two ways. */
  readonly changed: readonly string[];
  /** Acknowledged, and never seen to end. */
  readonly endless: readonly string[];
  /** Ended in a way that nobody asked for, with the state. */
  readonly unexpected: readonly string[];
  /** Known to the router, but never sent. */
  readonly foreign: readonly string[];
}

interface Entry {
  acknowledged: boolean;
  cancelAsked: boolean;
  lost: boolean;
  end: End | null;
  change: string;
}

export class Ledger {
  readonly #entries = new Map<string, Entry>();
  readonly #foreign = new Set<string>();
  /** How many have ended. */
  ended = 0;

  /** Before the request leaves: from here on the router may know it. */
  sent(requestId: string): void {
    if (!this.#entries.has(requestId)) this.#entries.set(requestId, { acknowledged: false, cancelAsked: false, lost: false, end: null, change: "" });
  }

  cancelAsked(requestId: string): void {
    this.#entry(requestId).cancelAsked = true;
  }

  /** The router has answered: from here on it must never forget it. */
  acknowledged(requestId: string): void {
    this.#entry(requestId).acknowledged = true;
  }

  /** The router says that there is no such request. */
  unknown(requestId: string): void {
    const entry = this.#entry(requestId);
    if (entry.acknowledged) entry.lost = true;
  }

  /** The router says how it ended; again and again, by whatever call. */
  hasEndedAs(requestId: string, end: End): void {
    const entry = this.#entries.get(requestId);
    if (!entry) {
      this.#foreign.add(requestId);
      return;
    }
    // Told of at all, it is known.
    entry.acknowledged = true;
    if (entry.end === null) this.ended += 1;
    entry.end ??= end;
    if (entry.end.state !== end.state || entry.end.details !== end.details) entry.change = `${requestId}: ${entry.end.state} ${entry.end.details}, then ${end.state} ${end.details}`;
  }

  hasEnded(requestId: string): boolean {
    return this.#entries.get(requestId)?.end !== null;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Ids that were acknowledged. */
  get known(): readonly string[] {
    return [...this.#entries].filter(([, entry]) => entry.acknowledged).map(([requestId]) => requestId);
  }

  verdict(): Verdict {
    const entries = [...this.#entries];
    const where = (test: (entry: Entry) => boolean): string[] => entries.filter(([, entry]) => test(entry)).map(([requestId]) => requestId);
    return {
      sent: entries.length,
      acknowledged: where((entry) => entry.acknowledged).length,
      ended: where((entry) => entry.end !== null).length,
      lost: where((entry) => entry.lost),
      changed: entries.filter(([, entry]) => entry.change !== "").map(([, entry]) => entry.change),
      endless: where((entry) => entry.acknowledged && !entry.lost && entry.end === null),
      unexpected: entries
        .filter(([, { end, cancelAsked }]) => end !== null && end.state !== "completed" && !(end.state === "cancelled" && cancelAsked))
        .map(([requestId, { end }]) => `${requestId}: ${end?.state} ${end?.details}`),
      foreign: [...this.#foreign],
    };
  }

  #entry(requestId: string): Entry {
    const entry = this.#entries.get(requestId);
    if (!entry) throw new Error(`${requestId} was never sent`);
    return entry;
  }
}
