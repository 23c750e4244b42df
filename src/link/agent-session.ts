// The agent's end of the protocol, without I/O: the attempts it holds, the epoch it obeys, the lease it fences itself by.
// It outlives streams: attempts run on while the router is away, their ends are kept until the router has them durably.
// Driven by agent/agent.ts with a real clock, by a simulator with a virtual one.
import { create } from "@bufbuild/protobuf";
import {
  AttemptEventSchema,
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
}

export class AgentSession {
  readonly #held = new ChurnMap<string, Held>();
  #highestEpoch = 0n;
  #welcome: Welcome | null = null;
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

  disconnected(): void {
    this.#welcome = null;
  }

  /**
   * Takes the router's terms. Returns the events to send again, oldest first, or null when the router's epoch is lower than
   * one seen before: that router has been replaced and must not be obeyed.
   */
  welcomed(welcome: Welcome, nowMs: number): AttemptEvent[] | null {
    if (welcome.epoch < this.#highestEpoch) return null;
    this.#highestEpoch = welcome.epoch;
    this.#welcome = welcome;
    this.#heardAtMs = nowMs;
    return [...this.#held.values()].flatMap(({ ref, started, ended }) => [
      ...(started ? [create(AttemptEventSchema, { ref, event: { case: "started", value: {} } })] : []),
      ...(ended ? [create(AttemptEventSchema, { ref, event: { case: "ended", value: ended } })] : []),
    ]);
  }

  /** Takes a message of the router after its welcome. */
  received(message: ConnectResponse, nowMs: number): AgentActions {
    this.#heardAtMs = nowMs;
    const actions: AgentActions = { start: [], stop: [], orders: message.modelOrders, restarts: message.restartOrders };
    for (const ref of message.acknowledged) {
      const held = this.#held.get(key(ref));
      // Acknowledged while it runs means that nobody wants it: the cancel beside it stops it, its end needs no answer.
      if (held) this.#held.delete(key(ref));
    }
    for (const ref of message.cancels) actions.stop.push(ref);
    for (const dispatch of message.dispatches) {
      const { ref } = dispatch;
      if (!ref || this.#held.has(key(ref))) continue;
      for (const older of this.#held.values()) {
        if (older.ref.requestId === ref.requestId && older.ref.attempt < ref.attempt && !older.ended) actions.stop.push(older.ref);
      }
      this.#held.set(key(ref), { dispatch, ref, started: false, ended: null });
      actions.start.push(dispatch);
    }
    return actions;
  }

  /** The runner has begun. Returns the event to send; null when nobody waits for it. */
  started(ref: AttemptRef): AttemptEvent | null {
    const held = this.#held.get(key(ref));
    if (!held || held.started || held.ended) return null;
    held.started = true;
    return create(AttemptEventSchema, { ref, event: { case: "started", value: {} } });
  }

  /** The attempt is over. Kept until acknowledged; returns the event to send now, null when the router gave it up. */
  ended(ref: AttemptRef, ended: AttemptEnded): AttemptEvent | null {
    const held = this.#held.get(key(ref));
    if (!held || held.ended) return null;
    held.ended = ended;
    return create(AttemptEventSchema, { ref, event: { case: "ended", value: ended } });
  }

  /** Whether an attempt still runs and is wanted. */
  live(ref: AttemptRef): boolean {
    const held = this.#held.get(key(ref));
    return held !== undefined && held.ended === null;
  }

  /** Running attempts that must stop because the router has not been heard for the lease. */
  fence(leaseMs: number, nowMs: number): AttemptRef[] {
    if (nowMs - this.#heardAtMs <= leaseMs) return [];
    return [...this.#held.values()].filter((held) => !held.ended && held.dispatch.mustNotRunTwice).map((held) => held.ref);
  }
}

function key(ref: AttemptRef): string {
  return `${ref.attempt} ${ref.requestId}`;
}
