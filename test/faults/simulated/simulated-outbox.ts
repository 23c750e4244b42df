// The outbox of the journal on the simulated disk: what callers are still to be told, and what was given up.
import type { CallbackEvent } from "../../../src/core/callbacks.js";
import { decodeValue, encodeValue } from "../../../src/journal/codec.js";
import type { Outbox } from "../../../src/journal/journal.js";
import type { DeadLetter, OutboxEntry } from "../../../src/journal/outbox-table.js";

/** The tables as they lie on the disk, by order. */
export interface OutboxTables {
  readonly pending: Map<number, Uint8Array>;
  readonly dead: Map<number, Uint8Array>;
}

export function sealed(value: CallbackEvent | DeadLetter): Uint8Array {
  return Uint8Array.from(encodeValue(value));
}

/** For one life of the router. `commit` runs what it is given as one transaction, later; rejects when that failed. */
export class SimulatedOutbox implements Outbox {
  readonly #tables: OutboxTables;
  readonly #commit: (write: () => void) => Promise<void>;
  #nextOrder: number;

  constructor(tables: OutboxTables, commit: (write: () => void) => Promise<void>) {
    this.#tables = tables;
    this.#commit = commit;
    this.#nextOrder = Math.max(0, ...tables.pending.keys(), ...tables.dead.keys()) + 1;
  }

  get deadCount(): number {
    return this.#tables.dead.size;
  }

  stamp(event: CallbackEvent): OutboxEntry {
    const order = this.#nextOrder;
    this.#nextOrder += 1;
    return { order, event };
  }

  *pending(): Iterable<OutboxEntry> {
    for (const order of [...this.#tables.pending.keys()].sort((a, b) => a - b)) {
      const event = this.read(order);
      if (event) yield { order, event };
    }
  }

  read(order: number): CallbackEvent | null {
    const bytes = this.#tables.pending.get(order);
    return bytes ? decodeValue<CallbackEvent>(bytes, `callback ${order}`) : null;
  }

  settle(delivered: readonly number[], givenUp: readonly DeadLetter[]): Promise<void> {
    return this.#commit(() => {
      for (const order of [...delivered, ...givenUp.map((letter) => letter.order)]) this.#tables.pending.delete(order);
      for (const letter of givenUp) this.#tables.dead.set(letter.order, sealed(letter));
    });
  }

  deadLetters(belowOrder: number, limit: number): DeadLetter[] {
    const orders = [...this.#tables.dead.keys()].filter((order) => belowOrder === 0 || order < belowOrder).sort((a, b) => b - a);
    return orders.slice(0, limit).map((order) => decodeValue<DeadLetter>(this.#tables.dead.get(order) ?? new Uint8Array(), `dead letter ${order}`));
  }

  /** No run asks for it. */
  retry(): Promise<OutboxEntry[]> {
    return Promise.resolve([]);
  }
}
