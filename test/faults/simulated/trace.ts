// What happened last in a simulated run, for people to read. Off while seeds are searched: a seed that fails is run again with it.
import type { Event } from "../../../src/core/events.js";
import type { Record } from "../../../src/core/records.js";

export class Trace {
  readonly #keep: number;
  readonly #lines: string[] = [];
  #nowMs: () => number = () => 0;

  /** Keeps the last `keep` lines; 0 for none. */
  constructor(keep: number) {
    this.#keep = keep;
  }

  clock(nowMs: () => number): void {
    this.#nowMs = nowMs;
  }

  get lines(): readonly string[] {
    return this.#lines.slice(-this.#keep);
  }

  /** `text` is asked for only when somebody reads it. */
  note(text: () => string): void {
    if (this.#keep === 0) return;
    this.#lines.push(`${(this.#nowMs() / 1000).toFixed(3).padStart(8)} s  ${text()}`);
    if (this.#lines.length > 4 * this.#keep) this.#lines.splice(0, this.#lines.length - this.#keep);
  }

  stepped(event: Event, records: readonly Record[]): void {
    if (this.#keep === 0 || (records.length === 0 && (event.kind === "tick" || event.kind === "telemetry" || event.kind === "attempt_progress"))) return;
    this.note(() => `engine   ${wordsOfEvent(event)}${records.map((record) => `\n${" ".repeat(12)}         -> ${wordsOfRecord(record)}`).join("")}`);
  }
}

function wordsOfEvent(event: Event): string {
  switch (event.kind) {
    case "submit":
      return `submit ${event.spec.requestId}`;
    case "cancel":
      return `cancel ${event.requestId}`;
    case "attempt_started":
    case "attempt_progress":
      return `${event.kind} ${event.ref.requestId}#${event.ref.attempt} from ${event.nodeId}`;
    case "attempt_ended":
      return `attempt_ended ${event.ref.requestId}#${event.ref.attempt} from ${event.nodeId}: ${event.end.outcome}`;
    case "node_connected":
      return `node_connected ${event.nodeId} holding ${event.held.map(({ requestId, attempt }) => `${requestId}#${attempt}`).join(", ") || "nothing"}`;
    case "gpu_lost":
      return `gpu_lost ${event.gpuId}: ${event.reason}`;
    case "take_over":
      return `take_over epoch ${event.epoch}`;
    default:
      return "nodeId" in event ? `${event.kind} ${event.nodeId}` : event.kind;
  }
}

function wordsOfRecord(record: Record): string {
  switch (record.kind) {
    case "accepted":
      return `accepted ${record.spec.requestId}`;
    case "placed":
      return `placed ${record.requestId}#${record.attempt} on ${(record.gpuIds ?? [record.gpuId]).join(" + ")}`;
    case "started":
      return `started ${record.requestId}#${record.attempt}`;
    case "attempt_failed":
      return `attempt_failed ${record.requestId}#${record.attempt}: ${record.reason}`;
    case "stop_requested":
      return `stop_requested ${record.requestId}: ${record.stop.cause}`;
    case "ended":
      return `ended ${record.requestId}: ${record.phase}${record.error ? ` (${record.error.code})` : ""}`;
    default:
      return record.kind;
  }
}
