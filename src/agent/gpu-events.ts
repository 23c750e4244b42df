// What the agent has to tell of its GPUs: keeps what happened until it is sent, and tells on each new stream again what happened lately, with
// number and age, so that a new router knows it as what it is and one that has read it passes over it.
// Used by agent.ts; where events come from is the probe's.
import { create } from "@bufbuild/protobuf";
import { GpuEventSchema, type GpuEvent } from "../../gen/gpurouter/v1/agent_pb.js";
import type { GpuProbeEvent } from "./probes/probe.js";

/** The contract's bound. */
const MAX_PER_MESSAGE = 1_024;
/** What waits is bounded too: a GPU in trouble may say so thousands of times. The oldest go first. */
const MAX_WAITING = 4_096;
/** How long something is told again, ms: as long as routers remember it. */
const REMEMBERED_MS = 600_000;
const MAX_DETAIL_CHARS = 1_024;

interface Happened {
  readonly event: GpuEvent;
  readonly atMs: number;
}

export class GpuEvents {
  #waiting: Happened[] = [];
  #told: Happened[] = [];
  #sequence = 0n;

  get length(): number {
    return this.#waiting.length;
  }

  push(event: GpuProbeEvent, nowMs: number): void {
    this.#sequence += 1n;
    this.#waiting.push({ event: messageOf(event, this.#sequence), atMs: nowMs });
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
  }

  /** What goes into one message sent now. */
  take(nowMs: number): GpuEvent[] {
    if (this.#waiting.length === 0) return [];
    const taken = this.#waiting.splice(0, MAX_PER_MESSAGE);
    this.#told = [...this.#lately(nowMs), ...taken].slice(-MAX_WAITING);
    for (const { event, atMs } of taken) event.ageMs = Math.max(0, Math.round(nowMs - atMs));
    return taken.map(({ event }) => event);
  }

  /** A new stream: of a router that may not know what was told, or of one that may not have read the last of it. */
  welcomed(nowMs: number): void {
    this.#waiting = [...this.#lately(nowMs), ...this.#waiting].slice(-MAX_WAITING);
    this.#told = [];
  }

  #lately(nowMs: number): Happened[] {
    return this.#told.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS);
  }
}

function messageOf(event: GpuProbeEvent, sequence: bigint): GpuEvent {
  const { gpuId } = event;
  if (event.kind !== "xid") return create(GpuEventSchema, { gpuId, sequence, event: { case: event.kind, value: event.reason } });
  return create(GpuEventSchema, { gpuId, sequence, event: { case: "xid", value: event.xid }, xidDetail: (event.detail ?? "").slice(0, MAX_DETAIL_CHARS) });
}
