// The agent's end of the protocol, without I/O: the attempts it holds, the epoch it obeys, the lease it fences itself by.
// It outlives streams: attempts run on while the router is away, their ends are kept until the router has them durably.
// Driven by agent/agent.ts with a real clock, by a simulator with a virtual one.
import { create } from "@bufbuild/protobuf";
import {
  AttemptEndedSchema,
  AttemptEventSchema,
  AttemptOutcome,
  type AttemptEnded,
  type AttemptEvent,
  type AttemptRef,
  type ConnectResponse,
  type Dispatch,
  type ModelOrder,
  type RestartOrder,
  type Welcome,
} from "../../gen/gpurouter/v1/agent_pb.js";
import { ChurnMap } from "../lib/churn-map.js";
import { attemptKey } from "./attempt-key.js";

/** Beats are remembered at this distance; a beat between two of them counts as the earlier, ms. */
const BEAT_STEP_MS = 20;

const LEASE_IS_OUT = { code: "lease_out", message: "It came when the lease of this node had run out." };

interface Held {
  readonly dispatch: Dispatch;
  readonly ref: AttemptRef;
  started: boolean;
  /** The end, while the router has not acknowledged it. */
  ended: AttemptEnded | null;
}

/** What the agent must do now. */
export interface AgentActions {
  readonly start: Dispatch[];
  readonly stop: AttemptRef[];
  /** In the order in which they were sent. */
  readonly orders: readonly ModelOrder[];
  readonly restarts: readonly RestartOrder[];
  /** Of restarts that came too late to be begun. */
  readonly lateRestarts: readonly RestartOrder[];
  /** Ends to tell the router at once: of work that came too late to be begun. */
  readonly tell: AttemptEvent[];
}

export class AgentSession {
  readonly #held = new ChurnMap<string, Held>();
  #highestEpoch = 0n;
  #welcome: Welcome | null = null;
  /** Of the last welcome, ms; 0 before the first. */
  #leaseMs = 0;
  /** When the newest message that the router has surely read was sent, ms. */
  #renewedAtMs = Number.NEGATIVE_INFINITY;
  #beat = 0n;
  /** When messages were sent that the router may not have read yet, oldest first. */
  readonly #beats: { readonly beat: bigint; readonly sentAtMs: number }[] = [];
  /** When anything of the router was last read, ms. */
  #heardAtMs = 0;

  get highestEpoch(): bigint {
    return this.#highestEpoch;
  }

  /** The terms of the present stream; null between streams. */
  get welcome(): Welcome | null {
    return this.#welcome;
  }

  /** Attempts that run. */
  get running(): number {
    let count = 0;
    for (const held of this.#held.values()) if (!held.ended) count += 1;
    return count;
  }

  /** Attempts that run or whose end is not acknowledged, for the hello. */
  get held(): AttemptRef[] {
    return [...this.#held.values()].map((held) => held.ref);
  }

  /** Until when work that must not run twice may go on, by the clock of `nextBeat`; -Infinity before the first welcome. */
  get leaseUntilMs(): number {
    return this.#renewedAtMs + this.#leaseMs;
  }

  disconnected(): void {
    this.#welcome = null;
  }

  /** The number of the next message to the router; to be taken before it is sent, by the agent's monotonic clock. */
  nextBeat(nowMs: number): bigint {
    this.#beat += 1n;
    const last = this.#beats.at(-1);
    // What is older than the lease cannot renew it any more.
    while (this.#beats.length > 1 && nowMs - this.#beats[0]!.sentAtMs > this.#leaseMs) this.#beats.shift();
    if (!last || nowMs - last.sentAtMs >= BEAT_STEP_MS) this.#beats.push({ beat: this.#beat, sentAtMs: nowMs });
    return this.#beat;
  }

  /**
   * Takes the router's terms. Returns the events to send again, oldest first, or null when the router's epoch is lower than
   * one seen before: that router has been replaced and must not be obeyed.
   */
  welcomed(welcome: Welcome, nowMs: number): AttemptEvent[] | null {
    if (welcome.epoch < this.#highestEpoch) return null;
    this.#highestEpoch = welcome.epoch;
    this.#welcome = welcome;
    this.#leaseMs = welcome.leaseMs;
    this.#heardAtMs = nowMs;
    return [...this.#held.values()].flatMap(({ ref, started, ended }) => [
      ...(started ? [create(AttemptEventSchema, { ref, event: { case: "started", value: {} } })] : []),
      ...(ended ? [create(AttemptEventSchema, { ref, event: { case: "ended", value: ended } })] : []),
    ]);
  }

  /** Takes a message of the router, also what comes with its welcome. */
  received(message: ConnectResponse, nowMs: number): AgentActions {
    this.#heardAtMs = nowMs;
    this.#renew(message.heardBeat);
    const actions: AgentActions = { start: [], stop: [], orders: message.modelOrders, ...this.#restartsOf(message, nowMs), tell: [] };
    for (const ref of message.acknowledged) {
      const held = this.#held.get(attemptKey(ref));
      // Acknowledged while it runs means that nobody wants it: the cancel beside it stops it, its end needs no answer.
      if (held) this.#held.delete(attemptKey(ref));
    }
    for (const ref of message.cancels) actions.stop.push(ref);
    for (const dispatch of message.dispatches) {
      const { ref } = dispatch;
      if (!ref || this.#held.has(attemptKey(ref))) continue;
      for (const older of this.#held.values()) {
        if (older.ref.requestId === ref.requestId && older.ref.attempt < ref.attempt && !older.ended) actions.stop.push(older.ref);
      }
      const held: Held = { dispatch, ref, started: false, ended: null };
      this.#held.set(attemptKey(ref), held);
      if (!dispatch.mustNotRunTwice || !this.#leaseIsOut(nowMs)) {
        actions.start.push(dispatch);
        continue;
      }
      // It lay in a buffer while the lease ran out: somebody else may have it by now.
      held.ended = create(AttemptEndedSchema, { outcome: AttemptOutcome.FENCED, error: LEASE_IS_OUT });
      actions.tell.push(create(AttemptEventSchema, { ref, event: { case: "ended", value: held.ended } }));
    }
    return actions;
  }

  /** What lay in a buffer while the lease ran out concerns a GPU that others may be at work on by now. */
  #restartsOf({ restartOrders }: ConnectResponse, nowMs: number): Pick<AgentActions, "restarts" | "lateRestarts"> {
    return this.#leaseIsOut(nowMs) ? { restarts: [], lateRestarts: restartOrders } : { restarts: restartOrders, lateRestarts: [] };
  }

  /** Counts the lease from the sending of the newest message that was read, never from when an answer is read: answers may be old. */
  #renew(heardBeat: bigint): void {
    const beats = this.#beats;
    while (beats.length > 1 && beats[1]!.beat <= heardBeat) beats.shift();
    const newest = beats[0];
    if (newest && newest.beat <= heardBeat) this.#renewedAtMs = Math.max(this.#renewedAtMs, newest.sentAtMs);
  }

  #leaseIsOut(nowMs: number): boolean {
    return nowMs >= this.leaseUntilMs;
  }

  /** The runner has begun. Returns the event to send; null when nobody waits for it. */
  started(ref: AttemptRef): AttemptEvent | null {
    const held = this.#held.get(attemptKey(ref));
    if (!held || held.started || held.ended) return null;
    held.started = true;
    return create(AttemptEventSchema, { ref, event: { case: "started", value: {} } });
  }

  /** The attempt is over. Kept until acknowledged; returns the event to send now, null when the router gave it up. */
  ended(ref: AttemptRef, ended: AttemptEnded): AttemptEvent | null {
    const held = this.#held.get(attemptKey(ref));
    if (!held || held.ended) return null;
    held.ended = ended;
    return create(AttemptEventSchema, { ref, event: { case: "ended", value: ended } });
  }

  /** Whether an attempt still runs and is wanted. */
  live(ref: AttemptRef): boolean {
    const held = this.#held.get(attemptKey(ref));
    return held !== undefined && held.ended === null;
  }

  /** Whether the router has said nothing for so long that another stream should be tried. `stalledMs` is how long this process stood still. */
  routerSilent(stalledMs: number, nowMs: number): boolean {
    this.#heardAtMs = Math.min(nowMs, this.#heardAtMs + stalledMs);
    const { silentAfterMs = 0 } = this.#welcome ?? {};
    return silentAfterMs > 0 && nowMs - this.#heardAtMs > silentAfterMs;
  }

  /** Running attempts that must stop because the lease has run out. */
  fence(nowMs: number): AttemptRef[] {
    if (!this.#leaseIsOut(nowMs)) return [];
    return [...this.#held.values()].filter((held) => !held.ended && held.dispatch.mustNotRunTwice).map((held) => held.ref);
  }
}
