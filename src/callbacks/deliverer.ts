// Delivers what the journal's outbox holds: at least once, in order per request, again and again until the receiver has it or time is up.
// Made by router/; told of new events once they are durable. What is under way when the process ends is sent again by the next one.
import type { CallbackEvent } from "../core/callbacks.js";
import type { Outbox } from "../journal/journal.js";
import type { DeadLetter, OutboxEntry } from "../journal/outbox-table.js";
import { DeliveryQueue, type QueueLimits, type Ticket } from "./delivery-queue.js";
import { nextTryAtMs, type RetryPolicy } from "./retry-policy.js";
import type { Clock, Sender, SendOutcome } from "./sender.js";

export interface DelivererLimits extends QueueLimits, RetryPolicy {
  /** Above either, new requests with a callback are refused. */
  readonly maxPending: number;
  readonly maxPendingPerHost: number;
  /** Callbacks that were given up and are kept. */
  readonly keepFailed: number;
}

export interface DelivererOptions {
  readonly outbox: Outbox;
  readonly sender: Pick<Sender, "send" | "close">;
  readonly limits: DelivererLimits;
  readonly clock: Clock;
  readonly log: DelivererLog;
  /** The JSON that is sent. */
  readonly bodyOf: (event: CallbackEvent) => string;
  /** 0..1. */
  readonly random?: () => number;
}

/** The part of pino's logger that is needed. */
export interface DelivererLog {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** Why no more callbacks can be taken on. */
export interface Overfull {
  readonly what: "callbacks" | "callbacks of this host";
  readonly limit: number;
}

/** A timer is not set for longer, so that a clock that jumps does no harm. */
const MAX_SLEEP_MS = 60_000;
const SETTLE_AGAIN_MS = 1_000;
/** Deliveries that were not written down yet; above it no more begin. */
const MAX_UNSETTLED = 4_096;

export class Deliverer {
  readonly #options: DelivererOptions;
  readonly #queue: DeliveryQueue;
  readonly #stop = new AbortController();
  readonly #flights = new Set<Promise<void>>();
  #delivered: number[] = [];
  #givenUp: DeadLetter[] = [];
  #settling: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #deliveredCount = 0;
  #givenUpCount = 0;

  /** Takes up what an earlier process left. */
  constructor(options: DelivererOptions) {
    this.#options = options;
    this.#queue = new DeliveryQueue(options.limits);
    for (const entry of options.outbox.pending()) this.#add(entry);
    if (this.#queue.pending > 0) options.log.info({ callbacks: this.#queue.pending }, "callbacks are still to be delivered");
    setImmediate(() => this.#pump());
  }

  /** Events that are not delivered. */
  get pending(): number {
    return this.#queue.pending;
  }

  /** In this process's life; for metrics. */
  get counts(): { readonly delivered: number; readonly givenUp: number } {
    return { delivered: this.#deliveredCount, givenUp: this.#givenUpCount };
  }

  /** They are durable. */
  added(entries: readonly OutboxEntry[]): void {
    for (const entry of entries) this.#add(entry);
    this.#pump();
  }

  /** null when there is room for those of one more request with that address. */
  overfull(callbackUrl: string): Overfull | null {
    const { maxPending, maxPendingPerHost } = this.#options.limits;
    if (this.#queue.pending >= maxPending) return { what: "callbacks", limit: maxPending };
    return this.#queue.pendingOf(hostOf(callbackUrl)) >= maxPendingPerHost ? { what: "callbacks of this host", limit: maxPendingPerHost } : null;
  }

  get failed(): number {
    return this.#options.outbox.deadCount;
  }

  /** Newest first, below `belowOrder` (0 for the newest). */
  failures(belowOrder: number, limit: number): readonly DeadLetter[] {
    return this.#options.outbox.deadLetters(belowOrder, limit);
  }

  /** Puts callbacks that were given up back in line; returns how many. */
  async retry(orders: readonly number[]): Promise<number> {
    const entries = await this.#options.outbox.retry(orders);
    this.added(entries);
    return entries.length;
  }

  /** Cuts what is under way and writes down what was delivered. */
  async stop(): Promise<void> {
    this.#stop.abort();
    if (this.#timer) clearTimeout(this.#timer);
    await Promise.all(this.#flights);
    await this.#settling;
    await this.#options.sender.close();
  }

  #add({ order, event }: OutboxEntry): void {
    const { requestId, callbackUrl } = event.request.spec;
    this.#queue.add(order, requestId, hostOf(callbackUrl));
  }

  /** Begins as many deliveries as may; then sleeps until one is due. */
  #pump(): void {
    if (this.#stop.signal.aborted) return;
    const { clock } = this.#options;
    while (this.#delivered.length + this.#givenUp.length < MAX_UNSETTLED) {
      const ticket = this.#queue.take(clock.now());
      if (!ticket) break;
      const flight = this.#deliver(ticket);
      this.#flights.add(flight);
      void flight.finally(() => {
        this.#flights.delete(flight);
        this.#pump();
      });
    }
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const { nextDueAtMs } = this.#queue;
    if (nextDueAtMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#pump(), Math.min(MAX_SLEEP_MS, Math.max(1, nextDueAtMs - clock.now())));
    this.#timer.unref();
  }

  async #deliver(ticket: Ticket): Promise<void> {
    const { outbox, limits, clock, log, random = Math.random } = this.#options;
    const { order, tries } = ticket;
    const event = outbox.read(order);
    if (!event) {
      this.#queue.succeeded(ticket);
      return;
    }
    const { spec } = event.request;
    const outcome = await this.#send(event);
    // What was cut is neither: the next process sends it again.
    if (this.#stop.signal.aborted && outcome.kind !== "delivered") return;
    const facts = { event: event.eventId, type: event.type, host: hostOf(spec.callbackUrl), tries };
    if (outcome.kind === "delivered") {
      this.#queue.succeeded(ticket);
      this.#delivered.push(order);
      this.#deliveredCount += 1;
      this.#settle();
      return;
    }
    const now = clock.now();
    const again = outcome.kind === "final" ? null : nextTryAtMs(limits, tries, event.atMs, outcome.retryAfterMs, now, random());
    if (again !== null) {
      if (tries === 1) log.info({ ...facts, because: outcome.error, againInMs: again - now }, "callback failed and is tried again");
      this.#queue.failed(ticket, again);
      return;
    }
    log.warn({ ...facts, because: outcome.error }, "callback given up; see gpu-router callbacks failed");
    this.#queue.gaveUp(ticket);
    this.#givenUp.push({ order, event, givenUpAtMs: now, tries, error: outcome.error });
    this.#givenUpCount += 1;
    this.#settle();
  }

  async #send(event: CallbackEvent): Promise<SendOutcome> {
    const { sender, bodyOf, log } = this.#options;
    try {
      return await sender.send(event.request.spec.callbackUrl, event.eventId, bodyOf(event), this.#stop.signal);
    } catch (error) {
      log.error({ event: event.eventId, error: String(error) }, "a callback could not be made");
      return { kind: "final", error: "it could not be made; the router's log has the cause" };
    }
  }

  /** Writes down what was settled, all that has come meanwhile at once. */
  #settle(): void {
    this.#settling ??= this.#settleAll().finally(() => {
      this.#settling = null;
    });
  }

  async #settleAll(): Promise<void> {
    const { outbox, limits, log } = this.#options;
    while (this.#delivered.length + this.#givenUp.length > 0) {
      const delivered = this.#delivered;
      const givenUp = this.#givenUp;
      this.#delivered = [];
      this.#givenUp = [];
      try {
        await outbox.settle(delivered, givenUp, limits.keepFailed);
      } catch (error) {
        // A full disk, say. They would be sent again after a restart; nothing is lost.
        log.error({ error: String(error), callbacks: delivered.length + givenUp.length }, "delivered callbacks could not be written down");
        this.#delivered = [...delivered, ...this.#delivered];
        this.#givenUp = [...givenUp, ...this.#givenUp];
        if (this.#stop.signal.aborted) return;
        await new Promise((resolve) => setTimeout(resolve, SETTLE_AGAIN_MS).unref());
      }
    }
    this.#pump();
  }
}

/** Name and port; what cannot be read goes nowhere, and is given up when its turn comes. */
function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "";
}
