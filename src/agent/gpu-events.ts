// What the agent has to tell of its GPUs: keeps what happened until it is sent, and tells a new router again what the one before it knew.
// Used by agent.ts; where events come from is the probe's.
import { create } from "@bufbuild/protobuf";
import { GpuEventSchema, type GpuEvent } from "../../gen/gpurouter/v1/agent_pb.js";
import type { GpuProbeEvent } from "./probes/probe.js";

/** The contract's bound. */
const MAX_PER_MESSAGE = 1_024;
/** What waits is bounded too: a GPU in trouble may say so thousands of times. The oldest go first. */
const MAX_WAITING = 4_096;
/** How long a new router is told of something, ms: as long as routers remember it. */
const REMEMBERED_MS = 600_000;
const MAX_DETAIL_CHARS = 1_024;

export class GpuEvents {
  #waiting: GpuEvent[] = [];
  #told: { readonly event: GpuEvent; readonly atMs: number }[] = [];
  #epoch = 0n;

  get length(): number {
    return this.#waiting.length;
  }

  push(event: GpuProbeEvent): void {
    this.#waiting.push(messageOf(event));
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
  }

  /** What goes into one message sent now. */
  take(nowMs: number): GpuEvent[] {
    const taken = this.#waiting.splice(0, MAX_PER_MESSAGE);
    for (const event of taken) this.#told.push({ event, atMs: nowMs });
    this.#told = this.#told.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS).slice(-MAX_WAITING);
    return taken;
  }

  /** A router takes over with this epoch: health is not in its journal, so it is told again what happened lately. */
  welcomed(epoch: bigint, nowMs: number): void {
    if (epoch > this.#epoch) {
      const again = this.#told.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS).map(({ event }) => event);
      this.#told = [];
      this.#waiting = [...again, ...this.#waiting].slice(-MAX_WAITING);
    }
    this.#epoch = epoch;
  }
}

function messageOf(event: GpuProbeEvent): GpuEvent {
  const { gpuId } = event;
  if (event.kind !== "xid") return create(GpuEventSchema, { gpuId, event: { case: event.kind, value: event.reason } });
  return create(GpuEventSchema, { gpuId, event: { case: "xid", value: event.xid }, xidDetail: (event.detail ?? "").slice(0, MAX_DETAIL_CHARS) });
}
