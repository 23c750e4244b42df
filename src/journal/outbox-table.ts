// What callers are still to be told, and what was given up: two tables of the journal's environment. Events are put in the same transaction
// as the records that they follow from; src/callbacks reads them, delivers them and settles them.
import type { Database, RootDatabase } from "lmdb";
import type { CallbackEvent } from "../core/callbacks.js";
import { decodeValue, encodeValue } from "./codec.js";

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
  readonly #pending: Database<Buffer, number>;
  readonly #dead: Database<Buffer, number>;
  readonly #commit: Commit;
  #nextOrder = 1;
  #deadCount: number;

  constructor(root: RootDatabase<Buffer, string>, commit: Commit) {
    this.#pending = root.openDB({ name: "outbox", encoding: "binary" });
    this.#dead = root.openDB({ name: "dead_letters", encoding: "binary" });
    this.#commit = commit;
    for (const table of [this.#pending, this.#dead]) for (const key of table.getKeys({ reverse: true, limit: 1 })) this.#nextOrder = Math.max(this.#nextOrder, key + 1);
    this.#deadCount = entriesOf(this.#dead);
  }

  /** Gives an event its place. */
  stamp(event: CallbackEvent): OutboxEntry {
    const order = this.#nextOrder;
    this.#nextOrder += 1;
    return { order, event };
  }

  /** Within a transaction of the journal. */
  put(entries: readonly OutboxEntry[]): void {
    for (const { order, event } of entries) void this.#pending.put(order, encodeValue(event));
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
      for (const order of delivered) void this.#pending.remove(order);
      for (const letter of givenUp) {
        void this.#pending.remove(letter.order);
        void this.#dead.put(letter.order, encodeValue(letter));
      }
      const surplus = this.#deadCount + givenUp.length - keepAtMost;
      if (surplus > 0) for (const order of this.#dead.getKeys({ limit: surplus })) void this.#dead.remove(order);
    });
    this.#deadCount = entriesOf(this.#dead);
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
      for (const order of found) void this.#dead.remove(order);
      this.put(entries);
    });
    this.#deadCount = entriesOf(this.#dead);
    return entries;
  }
}

function entriesOf(table: Database<Buffer, number>): number {
  return (table.getStats() as { readonly entryCount: number }).entryCount;
}
