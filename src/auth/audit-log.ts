// The audit log: who did what to what, and what was refused. Append-only; old entries go by age and count. What admins do is never
// dropped; refusals are, beyond a rate, and counted, so that an attack cannot fill the disk.
import type { AuditEntry, IdentityStore } from "./identity-store.js";
import { NOBODY, type Actor } from "./principal.js";

/** What others say of an act; who and where come from the actor. */
export interface AuditFact {
  readonly act: string;
  readonly subject: string;
  readonly why?: string;
  readonly outcome?: AuditEntry["outcome"];
}

/** The port for everything that admins do: maintenance, restarts, quotas, keys. */
export interface Audit {
  /** Resolves when it is on the disk. */
  record(actor: Actor, fact: AuditFact): Promise<void>;
}

export interface AuditRetention {
  readonly keepForMs: number;
  readonly keepAtMost: number;
}

/** Refusals written at once, and how long until there is room for another, ms. */
const REFUSAL_BURST = 100;
const REFUSAL_INTERVAL_MS = 1_000;
const MAX_TEXT = 512;
const PURGE_EVERY_MS = 60_000;
const PURGE_AT_ONCE = 10_000;

export class AuditLog implements Audit {
  readonly #store: IdentityStore;
  readonly #now: () => number;
  readonly #retention: AuditRetention;
  readonly #failed: (error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #sequence: number;
  #room = REFUSAL_BURST;
  #roomAtMs: number;
  #suppressed = 0;

  /** `failed` hears of entries that nobody waits for and that could not be written. */
  constructor(store: IdentityStore, retention: AuditRetention, failed: (error: unknown) => void, now: () => number = Date.now) {
    this.#store = store;
    this.#retention = retention;
    this.#failed = failed;
    this.#now = now;
    this.#sequence = store.lastAudit();
    this.#roomAtMs = now();
    this.#timer = setInterval(() => void this.purge().catch(failed), PURGE_EVERY_MS);
    this.#timer.unref();
  }

  record(actor: Actor, fact: AuditFact): Promise<void> {
    return this.#store.write({ audit: [this.entry(actor, fact)] });
  }

  /** The entry, to be written in the same change as what it tells of. */
  entry({ principal, address }: Actor, { act, subject, why = "", outcome = "done" }: AuditFact): AuditEntry {
    this.#sequence += 1;
    return {
      sequence: this.#sequence,
      atMs: this.#now(),
      who: principal.name,
      credential: principal.credential,
      act,
      subject: subject.slice(0, MAX_TEXT),
      why: why.slice(0, MAX_TEXT),
      outcome,
      address,
    };
  }

  /** Something that nobody waits for: a refusal, a key from a new address. Dropped and counted beyond the rate. */
  note(actor: Actor, fact: AuditFact): void {
    const now = this.#now();
    // A clock that was set back silences nobody until it is there again.
    if (now < this.#roomAtMs) this.#roomAtMs = now;
    const gained = Math.floor((now - this.#roomAtMs) / REFUSAL_INTERVAL_MS);
    if (gained > 0) {
      this.#room = Math.min(REFUSAL_BURST, this.#room + gained);
      this.#roomAtMs += gained * REFUSAL_INTERVAL_MS;
    }
    if (this.#room === 0) {
      this.#suppressed += 1;
      return;
    }
    this.#room -= 1;
    const entries: AuditEntry[] = [];
    if (this.#suppressed > 0) {
      entries.push(this.entry({ principal: NOBODY, address: "" }, { act: "suppressed", subject: `${this.#suppressed} entries`, why: "too many at once", outcome: "noted" }));
      this.#suppressed = 0;
    }
    entries.push(this.entry(actor, fact));
    this.#store.write({ audit: entries }).catch(this.#failed);
  }

  /** Newest first, below `below` (0 for the newest). */
  list(below: number, limit: number): readonly AuditEntry[] {
    return this.#store.audit(below === 0 ? Number.MAX_SAFE_INTEGER : below, limit);
  }

  /** Drops what is past the retention. */
  async purge(): Promise<void> {
    const { keepForMs, keepAtMost } = this.#retention;
    while ((await this.#store.purgeAudit(this.#now() - keepForMs, keepAtMost, PURGE_AT_ONCE)) === PURGE_AT_ONCE);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
