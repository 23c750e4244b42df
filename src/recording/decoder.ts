// From the bytes of a recording back to its entries; see encoder.ts for what they are. Called by the reader, frame by frame.
import { crc32 } from "node:zlib";
import type { AttemptEnd, Event } from "../core/events.js";
import type { AttemptRef, NodeId, RequestId } from "../core/model/ids.js";
import type { Record } from "../core/records.js";
import { DEFAULT_CORE_SETTINGS } from "../core/settings.js";
import { SHAPES } from "../journal/shapes.js";
import { Fill } from "./discretion.js";
import { Code, recordingPackr } from "./encoder.js";
import { RecordingError, type Ending, type Entry, type Fact, type RecordedStep, type RecordingHeader } from "./step.js";

const CHECKSUM_BYTES = 4;

type List = readonly [code: number, ...rest: (string | number)[]];
type Value = number | List | Event | Record;

/** An event's step while its facts are being collected. */
interface Open {
  readonly event: Event;
  readonly atMs: number;
  readonly facts: Fact[];
}

const EVENTS: { readonly [K in Event["kind"]]: true } = {
  take_over: true,
  submit: true,
  cancel: true,
  set_maintenance: true,
  restart_gpu: true,
  gpu_restarted: true,
  node_connected: true,
  node_disconnected: true,
  router_stalled: true,
  runners_changed: true,
  telemetry: true,
  runner_load: true,
  gpu_lost: true,
  set_quota: true,
  memory: true,
  gpu_report: true,
  attempt_started: true,
  attempt_answered: true,
  attempt_progress: true,
  attempt_ended: true,
  tick: true,
};

/** The body of a frame; null when it is not what was written. */
export function frameBody(sealed: Buffer): Buffer | null {
  const end = sealed.byteLength - CHECKSUM_BYTES;
  if (end < 0) return null;
  const body = sealed.subarray(0, end);
  return sealed.readUInt32LE(end) === crc32(body) ? body : null;
}

export class RecordingDecoder {
  readonly #packr = recordingPackr();
  readonly #fill = new Fill();
  #steps = 0;
  #atMs = 0;
  /** Before the first event: records are those of the journal. */
  #recovering = true;
  /** Set by the last entry of a recording that was ended. */
  ending: Exclude<Ending, { kind: "cut" }> | null = null;

  /** Of the first frame. Throws a RecordingError. */
  header(body: Buffer): RecordingHeader {
    const { shapes, ...header } = this.#packr.unpack(body) as RecordingHeader & { readonly shapes: number };
    if (shapes > SHAPES.length) throw new RecordingError(`it was made by gpu-router ${header.version}, which is newer than this one: use that version, or a later one`);
    // What older versions could not set is as by default.
    const hybrid = { ...DEFAULT_CORE_SETTINGS.hybrid, ...header.settings.hybrid };
    return { ...header, settings: { ...DEFAULT_CORE_SETTINGS, ...header.settings, hybrid }, snapshot: header.snapshot && this.#fill.snapshot(header.snapshot) };
  }

  /** Of the other frames, in their order. A step never reaches into the next frame. */
  *entries(body: Buffer): Generator<Entry> {
    let open: Open | null = null;
    for (const value of this.#packr.unpackMultiple(body) as Value[]) {
      if (typeof value === "number") {
        if (open) yield this.#close(open);
        open = null;
        this.#atMs = value;
        continue;
      }
      if (isEvent(value)) this.#recovering = false;
      if (this.#recovering) {
        yield { kind: "recovered", record: this.#fill.record(value as Record) };
        continue;
      }
      const fact = factIn(value);
      if (fact) {
        open?.facts.push(fact);
        continue;
      }
      const event = Array.isArray(value) ? this.#listed(value as List) : this.#eventIn(value as Event | Record);
      if (!event) continue;
      if (open) yield this.#close(open);
      open = { event, atMs: this.#atMs, facts: [] };
      // The record that the event came in.
      if (event.kind === "submit" && !isEvent(value)) open.facts.push({ ...(value as Extract<Record, { kind: "accepted" }>), spec: event.spec });
    }
    if (open) yield this.#close(open);
  }

  #close({ event, atMs, facts }: Open): Entry {
    this.#steps += 1;
    const step: RecordedStep = { number: this.#steps, atMs, event, facts };
    return { kind: "step", step };
  }

  #eventIn(value: Event | Record): Event | null {
    if (isEvent(value)) return this.#fill.event(value);
    return value.kind === "accepted" ? { kind: "submit", spec: this.#fill.spec(value.spec) } : null;
  }

  #listed([code, ...rest]: List): Event | null {
    const [nodeId, requestId, attempt, ...more] = rest as unknown as [NodeId, RequestId, number, ...unknown[]];
    const ref: AttemptRef = { requestId, attempt };
    switch (code) {
      case Code.tick:
        return { kind: "tick" };
      case Code.started:
        return { kind: "attempt_started", nodeId, ref };
      case Code.succeeded: {
        const [bytes, resultContentType, runMs, firstOutputMs, inputTokens, outputTokens, peakMemoryMib] = more as [number, string, number, number, number, number, number];
        const statistics = { runMs, firstOutputMs, inputTokens, outputTokens, peakMemoryMib };
        const end: AttemptEnd = { outcome: "succeeded", error: null, result: this.#fill.zeros(bytes), resultContentType, statistics };
        return { kind: "attempt_ended", nodeId, ref, end };
      }
      case Code.stopped:
        this.ending = { kind: "stopped", digest: Number(rest[0]) };
        return null;
      case Code.limit:
        this.ending = { kind: "limit" };
        return null;
      default:
        throw new RecordingError(`it holds an entry of kind ${code}, which this version does not know: use the version that made it, or a later one`);
    }
  }
}

function isEvent(value: unknown): value is Event {
  return Object.hasOwn(EVENTS, (value as Event).kind);
}

function factIn(value: Value): Fact | null {
  if (Array.isArray(value)) {
    const [code, requestId, second, third] = value as unknown as [number, RequestId, never, number];
    if (code === Code.retried) return { kind: "retried", requestId, attempt: second, retryAtMs: third };
    return code === Code.ended ? { kind: "ended", requestId, phase: second } : null;
  }
  const { kind } = value as Record;
  return kind === "placed" || kind === "state_digest" ? (value as Fact) : null;
}
