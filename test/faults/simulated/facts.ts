// What records say, folded from them and nothing else. Of those on the disk it is the yardstick for every promise the router makes; of those that
// this life of the router knows, for what it does.
import type { Record } from "../../../src/core/records.js";

export class Facts {
  epoch = 0;
  readonly accepted = new Set<string>();
  /** Phase of those that have ended. */
  readonly ended = new Map<string, "completed" | "failed" | "cancelled">();
  /** The newest attempt of each request that was placed. */
  readonly attempt = new Map<string, number>();
  /** Requests whose newest attempt is still on. */
  readonly placed = new Set<string>();
  readonly stopping = new Set<string>();
  /** The first attempt that had begun when it was over, of each request that has one. */
  readonly interrupted = new Map<string, number>();
  /** Requests whose newest attempt has begun. */
  readonly #begun = new Set<string>();

  fold(record: Record): void {
    switch (record.kind) {
      case "epoch_started":
        this.epoch = record.epoch;
        return;
      case "accepted":
        this.accepted.add(record.spec.requestId);
        return;
      case "placed":
        this.attempt.set(record.requestId, record.attempt);
        this.placed.add(record.requestId);
        this.#begun.delete(record.requestId);
        return;
      case "started":
        this.#begun.add(record.requestId);
        return;
      case "attempt_failed":
        this.placed.delete(record.requestId);
        if (this.#begun.has(record.requestId) && !this.interrupted.has(record.requestId)) this.interrupted.set(record.requestId, record.attempt);
        return;
      case "stop_requested":
        this.stopping.add(record.requestId);
        return;
      case "ended":
        this.placed.delete(record.requestId);
        this.ended.set(record.requestId, record.phase);
        return;
      default:
    }
  }

  /** One that goes on from here by itself. */
  copy(): Facts {
    const copy = new Facts();
    copy.epoch = this.epoch;
    for (const requestId of this.accepted) copy.accepted.add(requestId);
    for (const [requestId, phase] of this.ended) copy.ended.set(requestId, phase);
    for (const [requestId, attempt] of this.attempt) copy.attempt.set(requestId, attempt);
    for (const requestId of this.placed) copy.placed.add(requestId);
    for (const requestId of this.stopping) copy.stopping.add(requestId);
    for (const requestId of this.#begun) copy.#begun.add(requestId);
    for (const [requestId, attempt] of this.interrupted) copy.interrupted.set(requestId, attempt);
    return copy;
  }

  /** Whether this attempt was placed, durably, and is on or over. */
  wasPlaced(requestId: string, attempt: number): boolean {
    return (this.attempt.get(requestId) ?? 0) >= attempt;
  }

  /** Whether this attempt is on. */
  isOn(requestId: string, attempt: number): boolean {
    return this.placed.has(requestId) && this.attempt.get(requestId) === attempt;
  }
}
