// What callers are still to be told, and what was given up: two tables of the journal's environment. Events are put in the same transaction
// as the records that they follow from; src/callbacks reads them, delivers them and settles them.
import type { RootDatabase } from "lmdb";
import type { CallbackEvent } from "../core/callbacks.js";
import { decodeValue, encodeValue } from "./codec.js";
import { SealedTable } from "./sealed-table.js";
import type { Vault } from "./vault.js";

/** An event and its place in the order in which events were made. */
export interface OutboxEntry {
  /** Its key: grows, is never used again while the process lives. */
  readonly order: number;
  readonly event: CallbackEvent;
}

/** An event that was given up. */
export interface DeadLetter extends OutboxEntry {
  readonly givenUpAtMs: number;
  readonly tries: number;
  readonly error: string;
}

/** Runs `write` as one transaction; resolves when it is committed. */
type Commit = (write: () => void) => Promise<void>;

export class OutboxTable {
  readonly #pending: SealedTable<number>;
  readonly #dead: SealedTable<number>;
  readonly #commit: Commit;
  #nextOrder = 1;
  #deadCount: number;

  constructor(root: RootDatabase<Buffer, string>, vault: Vault, commit: Commit) {
    this.#pending = new SealedTable(root, "outbox", vault);
    this.#dead = new SealedTable(root, "dead_letters", vault);
    this.#commit = commit;
    for (const table of [this.#pending, this.#dead]) for (const key of table.getKeys({ reverse: true, limit: 1 })) this.#nextOrder = Math.max(this.#nextOrder, key + 1);
    this.#deadCount = this.#dead.entryCount;
  }

  /** Gives an event its place. */
  stamp(event: CallbackEvent): OutboxEntry {
    const order = this.#nextOrder;
    this.#nextOrder += 1;
    return { order, event };
  }

  /** Within a transaction of the journal. */
  put(entries: readonly OutboxEntry[]): void {
    for (const { order, event } of entries) this.#pending.put(order, encodeValue(event));
  }

  /** All that waits, oldest first; for a start. */
  *pending(): Iterable<OutboxEntry> {
    for (const { key, value } of this.#pending.getRange({})) yield { order: key, event: decodeValue<CallbackEvent>(value, `callback ${key}`) };
  }

  /** null when it is not there. */
  read(order: number): CallbackEvent | null {
    const sealed = this.#pending.get(order);
    return sealed ? decodeValue<CallbackEvent>(sealed, `callback ${order}`) : null;
  }

  /** Takes out what was delivered and what was given up; keeps the last `keepAtMost` of the latter. */
  async settle(delivered: readonly number[], givenUp: readonly DeadLetter[], keepAtMost: number): Promise<void> {
    await this.#commit(() => {
      for (const order of delivered) this.#pending.remove(order);
      for (const letter of givenUp) {
        this.#pending.remove(letter.order);
        this.#dead.put(letter.order, encodeValue(letter));
      }
      const surplus = this.#deadCount + givenUp.length - keepAtMost;
      if (surplus > 0) for (const order of this.#dead.getKeys({ limit: surplus })) this.#dead.remove(order);
    });
    this.#deadCount = this.#dead.entryCount;
  }

  /** Writes all of it into `target`, which is new. */
  async copyTo(target: OutboxTable): Promise<void> {
    await this.#pending.copyTo(target.#pending, target.#commit);
    await this.#dead.copyTo(target.#dead, target.#commit);
  }

  get deadCount(): number {
    return this.#deadCount;
  }

  /** Newest first, below `belowOrder` (0 for the newest). */
  deadLetters(belowOrder: number, limit: number): DeadLetter[] {
    const letters: DeadLetter[] = [];
    const range = this.#dead.getRange({ reverse: true, limit, ...(belowOrder > 0 && { start: belowOrder - 1 }) });
    for (const { key, value } of range) letters.push(decodeValue<DeadLetter>(value, `dead letter ${key}`));
    return letters;
  }

  /** Puts dead letters back in line behind all that waits; those that are not there are left out. */
  async retry(orders: readonly number[]): Promise<OutboxEntry[]> {
    const entries: OutboxEntry[] = [];
    const found: number[] = [];
    for (const order of orders) {
      const sealed = this.#dead.get(order);
      if (!sealed || found.includes(order)) continue;
      found.push(order);
      entries.push(this.stamp(decodeValue<DeadLetter>(sealed, `dead letter ${order}`).event));
    }
    if (found.length === 0) return [];
    await this.#commit(() => {
      for (const order of found) this.#dead.remove(order);
      this.put(entries);
    });
    this.#deadCount = this.#dead.entryCount;
    return entries;
  }
}
