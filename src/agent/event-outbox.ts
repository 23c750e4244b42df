// What the agent has to tell of its attempts and has not sent yet. Used by agent.ts; knows nothing of streams.
import type { AttemptEvent } from "../../gen/gpurouter/v1/agent_pb.js";

/** Live output and progress waiting to be sent; above it pieces are dropped, the offsets tell. */
const MAX_WAITING_EVENTS = 10_000;
/** The contract's bound, and what keeps one large result from holding up heartbeats for long. */
const MAX_EVENTS_PER_MESSAGE = 4_096;
const MAX_BYTES_PER_MESSAGE = 4 << 20;

export class EventOutbox {
  #events: AttemptEvent[] = [];

  get length(): number {
    return this.#events.length;
  }

  /** Whether something may be added that can be done without. */
  get hasRoom(): boolean {
    return this.#events.length < MAX_WAITING_EVENTS;
  }

  push(event: AttemptEvent): void {
    this.#events.push(event);
  }

  /** Forgets what waits and begins with `events`. */
  restart(events: AttemptEvent[]): void {
    this.#events = events;
  }

  /** As many events as fit one message; at least one when there is any. */
  take(): AttemptEvent[] {
    let count = 0;
    let bytes = 0;
    for (const { event } of this.#events) {
      bytes += event.case === "ended" ? event.value.result.byteLength : event.case === "output" ? event.value.data.byteLength : 0;
      if (count > 0 && (count >= MAX_EVENTS_PER_MESSAGE || bytes > MAX_BYTES_PER_MESSAGE)) break;
      count += 1;
    }
    return this.#events.splice(0, count);
  }
}
