// How much of what is to be told goes into one message. Called by agent.ts whenever it sends.
import type { AttemptEvent } from "../../gen/gpurouter/v1/agent_pb.js";

/** The contract's bound, and what keeps one large result from holding up heartbeats for long. */
const MAX_EVENTS_PER_MESSAGE = 4_096;
const MAX_BYTES_PER_MESSAGE = 4 << 20;

/** Takes as many events off the front as fit one message; at least one when there is any. */
export function takeEvents(events: AttemptEvent[]): AttemptEvent[] {
  let count = 0;
  let bytes = 0;
  for (const { event } of events) {
    bytes += event.case === "ended" ? event.value.result.byteLength : event.case === "output" ? event.value.data.byteLength : 0;
    if (count > 0 && (count >= MAX_EVENTS_PER_MESSAGE || bytes > MAX_BYTES_PER_MESSAGE)) break;
    count += 1;
  }
  return events.splice(0, count);
}
