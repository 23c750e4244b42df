// From steps to the bytes of a recording. The journal's MessagePack, whose record writer is what makes it cheap: 1 µs an event.
// Called by the recorder for each event, so the kinds that come with every request are written straight from their fields.
//
// A file is one line of text, then frames: length (32 bits), MessagePack values one behind the other, a checksum. The first frame
// holds the header. A number is the time of what follows; a list begins with its code; an event or a record is an object with its
// kind. Records before the first event are those that the journal held. An accepted request is written as its record alone: the
// event that it came of is in it.
import { Packr } from "msgpackr";
import type { Event } from "../core/events.js";
import type { Record } from "../core/records.js";
import { MessagePackWriter } from "../journal/message-pack.js";
import { RecordWriter } from "../journal/record-writer.js";
import { SHAPES } from "../journal/shapes.js";
import type { Discretion } from "./discretion.js";
import { factsOf, type Ending, type RecordingHeader } from "./step.js";

export const FORMAT = 1;
export const FIRST_LINE = "gpu-router recording, format ";

/** What a list is, by its first element. */
export const Code = { tick: 0, started: 1, succeeded: 2, retried: 3, ended: 4, stopped: 5, limit: 6 } as const;

/** As the decoder must have it too. */
export function recordingPackr(): Packr {
  return new Packr({ useRecords: true, moreTypes: false, structures: SHAPES.map((keys) => [...keys]), maxSharedStructures: SHAPES.length });
}

export class RecordingEncoder {
  readonly #discretion: Discretion;
  readonly #packr = recordingPackr();
  readonly #out = new MessagePackWriter();
  readonly #writer = new RecordWriter(this.#out, this.#packr);
  #atMs = Number.NaN;
  /** Steps and records since the last frame. */
  pending = 0;

  constructor(discretion: Discretion) {
    this.#discretion = discretion;
    this.#out.begin();
  }

  /** The beginning of a file: its line and its first frame. */
  header(header: RecordingHeader): Buffer {
    const { snapshot } = header;
    // A version with more shapes may write what this one cannot read.
    const stored = { ...header, shapes: SHAPES.length, snapshot: snapshot && this.#discretion.snapshot(snapshot) };
    this.#out.raw(this.#packr.pack(stored));
    return Buffer.concat([Buffer.from(`${FIRST_LINE}${FORMAT}\n`), this.frame()]);
  }

  recovered(record: Record): void {
    this.#writer.record(this.#discretion.record(record));
    this.pending += 1;
  }

  step(event: Event, nowMs: number, records: readonly Record[]): void {
    if (nowMs !== this.#atMs) this.#out.number(nowMs);
    this.#atMs = nowMs;
    if (event.kind !== "submit" || records[0]?.kind !== "accepted") this.#event(event);
    for (const fact of factsOf(records)) {
      switch (fact.kind) {
        case "retried":
          this.#list(Code.retried, 4);
          this.#out.text(fact.requestId);
          this.#out.number(fact.attempt);
          this.#out.number(fact.retryAtMs);
          break;
        case "ended":
          this.#list(Code.ended, 3);
          this.#out.text(fact.requestId);
          this.#out.text(fact.phase);
          break;
        default:
          this.#writer.record(this.#discretion.record(fact));
      }
    }
    this.pending += 1;
  }

  /** To be followed by a last frame. */
  end(ending: Exclude<Ending, { kind: "cut" }>): void {
    this.#list(ending.kind === "stopped" ? Code.stopped : Code.limit, 2);
    this.#out.number(ending.kind === "stopped" ? ending.digest : 0);
  }

  /** All since the last frame, as one. */
  frame(): Buffer {
    const sealed = this.#out.seal();
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32LE(sealed.byteLength);
    this.#out.begin();
    this.#atMs = Number.NaN;
    this.pending = 0;
    return Buffer.concat([length, sealed]);
  }

  #event(event: Event): void {
    const out = this.#out;
    switch (event.kind) {
      case "tick":
        this.#list(Code.tick, 1);
        return;
      case "attempt_started":
        this.#list(Code.started, 4);
        out.text(event.nodeId);
        out.text(event.ref.requestId);
        out.number(event.ref.attempt);
        return;
      case "attempt_ended": {
        const { nodeId, ref, end } = event;
        const { statistics } = end;
        if (end.outcome !== "succeeded" || end.error || !statistics) break;
        this.#list(Code.succeeded, 11);
        out.text(nodeId);
        out.text(ref.requestId);
        out.number(ref.attempt);
        out.number(end.result.byteLength);
        out.text(end.resultContentType);
        out.number(statistics.runMs);
        out.number(statistics.firstOutputMs);
        out.number(statistics.inputTokens);
        out.number(statistics.outputTokens);
        out.number(statistics.peakMemoryMib);
        return;
      }
      default:
    }
    out.raw(this.#packr.pack(this.#discretion.event(event)));
  }

  #list(code: number, length: number): void {
    this.#out.array(length);
    this.#out.number(code);
  }
}
