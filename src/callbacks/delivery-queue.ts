// Whose turn it is to be told something: order within a request, fairness and bounds between hosts. Without I/O and without a clock; called
// by deliverer.ts. Holds numbers and names only: the events themselves stay in the journal.
//
// A host that answers well may have several deliveries under way. One that does not, or is not known yet, has one, and all of those together
// at most half of all: however many hosts are slow or dead, the others keep theirs.
import { Heap } from "../lib/heap.js";
import { LinkedList, type ListEntry } from "../lib/linked-list.js";

export interface QueueLimits {
  /** Deliveries under way, over all hosts. */
  readonly maxConcurrent: number;
  /** Of one host that answers well. */
  readonly maxConcurrentPerHost: number;
}

/** The events of one request that are not settled, oldest first. */
interface Line {
  readonly key: string;
  readonly lane: Lane;
  readonly orders: number[];
  /** Of the first event. */
  tries: number;
  dueAtMs: number;
}

/** All that goes to one host. */
interface Lane {
  readonly host: string;
  readonly ready: LinkedList<Line>;
  flying: number;
  /** Events that are not settled. */
  pending: number;
  /** It answered well the last time. */
  proven: boolean;
  /** Its place in one of the two rotations; null while nothing of it may be taken. */
  turn: ListEntry<Lane> | null;
}

/** A delivery under way; to be given back by one of the three ends. */
export interface Ticket {
  readonly order: number;
  /** This one included. */
  readonly tries: number;
  readonly line: unknown;
  readonly doubtful: boolean;
}

/** Hosts that answered well and have nothing waiting, and yet are remembered. */
const MAX_REMEMBERED = 1_024;

export class DeliveryQueue {
  readonly #limits: QueueLimits;
  readonly #lines = new Map<string, Line>();
  readonly #lanes = new Map<string, Lane>();
  readonly #proven = new LinkedList<Lane>();
  readonly #doubtful = new LinkedList<Lane>();
  readonly #waiting = new Heap<Line>((a, b) => a.dueAtMs < b.dueAtMs);
  /** Oldest first. */
  readonly #remembered = new Set<string>();
  #flying = 0;
  #doubtfulFlying = 0;
  #pending = 0;
  #doubtfulNext = false;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** Events that are not settled. */
  get pending(): number {
    return this.#pending;
  }

  get flying(): number {
    return this.#flying;
  }

  pendingOf(host: string): number {
    return this.#lanes.get(host)?.pending ?? 0;
  }

  /** When something that waits for another try is due; Infinity when nothing does. */
  get nextDueAtMs(): number {
    return this.#waiting.first?.dueAtMs ?? Number.POSITIVE_INFINITY;
  }

  /** A new event, behind those that its request has already. */
  add(order: number, requestId: string, host: string): void {
    const lane = this.#laneOf(host);
    lane.pending += 1;
    this.#pending += 1;
    // With its host: an id may come again when it is long forgotten, with another address.
    const key = `${host} ${requestId}`;
    const line = this.#lines.get(key);
    if (line) {
      line.orders.push(order);
      return;
    }
    const fresh: Line = { key, lane, orders: [order], tries: 0, dueAtMs: 0 };
    this.#lines.set(key, fresh);
    lane.ready.append(fresh);
    this.#enlist(lane);
  }

  /** The next delivery that may begin; null when none may. */
  take(nowMs: number): Ticket | null {
    for (let line = this.#waiting.first; line && line.dueAtMs <= nowMs; line = this.#waiting.first) {
      this.#waiting.pop();
      line.lane.ready.append(line);
      this.#enlist(line.lane);
    }
    if (this.#flying >= this.#limits.maxConcurrent) return null;
    const doubtful = this.#doubtfulFlying < Math.max(1, this.#limits.maxConcurrent >> 1) ? this.#doubtful.head : null;
    const proven = this.#proven.head;
    const turn = doubtful && (this.#doubtfulNext || !proven) ? doubtful : proven;
    if (!turn) return null;
    this.#doubtfulNext = turn !== doubtful;
    const lane = turn.value;
    const first = lane.ready.head!;
    const line = first.value;
    lane.ready.remove(first);
    line.tries += 1;
    lane.flying += 1;
    this.#flying += 1;
    if (!lane.proven) this.#doubtfulFlying += 1;
    const ticket: Ticket = { order: line.orders[0]!, tries: line.tries, line, doubtful: !lane.proven };
    this.#enlist(lane);
    return ticket;
  }

  /** It was delivered. */
  succeeded(ticket: Ticket): void {
    const line = this.#land(ticket, true);
    this.#next(line);
  }

  /** To be tried again at `dueAtMs`; what its request has behind it waits as long. */
  failed(ticket: Ticket, dueAtMs: number): void {
    const line = this.#land(ticket, false);
    line.dueAtMs = dueAtMs;
    this.#waiting.push(line);
    this.#enlist(line.lane);
  }

  /** Not to be tried again. */
  gaveUp(ticket: Ticket): void {
    const line = this.#land(ticket, false);
    this.#next(line);
  }

  #land(ticket: Ticket, well: boolean): Line {
    const line = ticket.line as Line;
    line.lane.flying -= 1;
    line.lane.proven = well;
    this.#flying -= 1;
    if (ticket.doubtful) this.#doubtfulFlying -= 1;
    return line;
  }

  /** The first event of a line is settled. */
  #next(line: Line): void {
    const { lane } = line;
    line.orders.shift();
    line.tries = 0;
    lane.pending -= 1;
    this.#pending -= 1;
    if (line.orders.length > 0) lane.ready.append(line);
    else this.#lines.delete(line.key);
    this.#enlist(lane);
    if (lane.pending > 0) return;
    this.#lanes.delete(lane.host);
    this.#remember(lane);
  }

  #laneOf(host: string): Lane {
    let lane = this.#lanes.get(host);
    if (!lane) {
      lane = { host, ready: new LinkedList(), flying: 0, pending: 0, proven: this.#remembered.delete(host), turn: null };
      this.#lanes.set(host, lane);
    }
    return lane;
  }

  #remember({ host, proven }: Lane): void {
    if (!proven) return;
    this.#remembered.add(host);
    for (const oldest of this.#remembered) {
      if (this.#remembered.size <= MAX_REMEMBERED) return;
      this.#remembered.delete(oldest);
    }
  }

  /** Puts a lane at the end of its rotation, or out of both. */
  #enlist(lane: Lane): void {
    if (lane.turn) lane.turn.list?.remove(lane.turn);
    const may = lane.ready.size > 0 && lane.flying < (lane.proven ? this.#limits.maxConcurrentPerHost : 1);
    lane.turn = may ? (lane.proven ? this.#proven : this.#doubtful).append(lane) : null;
  }
}
