// What a recording tells of its requests and GPUs, in the order of arrival: what was asked, and what became of it. Read once, by
// what-if.ts; workload, fleet and measured run are made of it.
import type { Event } from "../../core/events.js";
import type { GpuInventory, RunnerInfo } from "../../core/model/gpu.js";
import { gpusOf, type RequestSpec, type RunStatistics } from "../../core/model/request.js";
import { RecordingError, type Entry, type Fact } from "../../recording/step.js";

/** A request that was accepted while the recording ran. Times are UTC, ms; NaN for what did not happen. */
export interface RecordedRequest {
  readonly spec: RequestSpec;
  readonly arrivedAtMs: number;
  placedAtMs: number;
  startedAtMs: number;
  firstOutputAtMs: number;
  endedAtMs: number;
  outcome: "unfinished" | "completed" | "failed" | "cancelled";
  attempts: number;
  /** Of its last attempt; "" before the first. */
  gpuId: string;
  /** Of the time of that GPU, what it got beside others, 0..1. */
  share: number;
  /** Of the attempt that completed it. */
  statistics: RunStatistics | null;
}

export interface RecordedGpu {
  readonly nodeId: string;
  readonly inventory: GpuInventory;
}

export interface RecordedTraffic {
  readonly requests: readonly RecordedRequest[];
  /** GPUs of nodes that were connected at any time, in the order in which they came. */
  readonly gpus: readonly RecordedGpu[];
  /** By node: what its runners were when requests began to come, or when it came later. */
  readonly runners: ReadonlyMap<string, readonly RunnerInfo[]>;
  /** By GPU, in their order: time in which it had work, ms. */
  readonly busyMs: readonly number[];
  /** First arrival and last step, UTC, ms. */
  readonly fromMs: number;
  readonly untilMs: number;
  /** Submits that were not accepted; connections that were lost while requests still came. */
  readonly refused: number;
  readonly disconnects: number;
  readonly events: number;
}

const MAX_REQUESTS = 5_000_000;

/** When a GPU is at work, and for how many: work that is given as time shares it evenly, with all requests in tokens as one (as the simulator has it). */
interface Occupancy {
  running: number;
  /** Of these, the ones that are given as time. */
  timed: number;
  sinceMs: number;
  busyMs: number;
  /** What a piece of such work that was always there would have got up to `atMs`, ms. */
  shareMs: number;
  atMs: number;
}

/** A request that is on GPUs. */
interface AtWork {
  readonly all: readonly Occupancy[];
  readonly isTimed: boolean;
  readonly sinceMs: number;
  readonly sinceShareMs: number;
}

/** Rejects with a RecordingError, also when no request was accepted. */
export async function trafficOf(entries: AsyncIterable<Entry>): Promise<RecordedTraffic> {
  const reading = new Reading();
  for await (const entry of entries) if (entry.kind === "step") reading.step(entry.step.event, entry.step.atMs, entry.step.facts);
  return reading.done();
}

class Reading {
  readonly #requests: RecordedRequest[] = [];
  readonly #live = new Map<string, RecordedRequest>();
  readonly #gpus = new Map<string, RecordedGpu>();
  readonly #occupancy = new Map<string, Occupancy>();
  /** By request that is on GPUs. */
  readonly #atWork = new Map<string, AtWork>();
  readonly #runners = new Map<string, readonly RunnerInfo[]>();
  #untilMs = 0;
  #refused = 0;
  #disconnects = 0;
  /** Lost since the last request; at the end, those of a router that stops. */
  #disconnectsSince = 0;
  #events = 0;

  step(event: Event, atMs: number, facts: readonly Fact[]): void {
    this.#events += 1;
    this.#untilMs = atMs;
    this.#event(event, atMs, facts);
    for (const fact of facts) this.#fact(fact, atMs, event);
  }

  done(): RecordedTraffic {
    const [first] = this.#requests;
    if (!first) throw new RecordingError("no request was accepted while it ran: record a router that has work");
    for (const requestId of this.#atWork.keys()) this.#leave(requestId, this.#untilMs);
    const gpus = [...this.#gpus.values()];
    return {
      requests: this.#requests,
      gpus,
      runners: this.#runners,
      busyMs: gpus.map(({ inventory }) => this.#occupancy.get(inventory.gpuId)?.busyMs ?? 0),
      fromMs: first.arrivedAtMs,
      untilMs: this.#untilMs,
      refused: this.#refused,
      disconnects: this.#disconnects,
      events: this.#events,
    };
  }

  #event(event: Event, atMs: number, facts: readonly Fact[]): void {
    switch (event.kind) {
      case "submit":
        if (facts[0]?.kind !== "accepted") this.#refused += 1;
        return;
      case "node_connected":
        for (const inventory of event.gpus) if (!this.#gpus.has(inventory.gpuId)) this.#gpus.set(inventory.gpuId, { nodeId: event.nodeId, inventory });
        this.#serves(event.nodeId, event.runners);
        return;
      case "runners_changed":
        this.#serves(event.nodeId, event.runners);
        return;
      case "node_disconnected":
        this.#disconnectsSince += 1;
        return;
      case "attempt_started": {
        const request = this.#live.get(event.ref.requestId);
        if (request?.attempts === event.ref.attempt && Number.isNaN(request.startedAtMs)) request.startedAtMs = atMs;
        return;
      }
      default:
    }
  }

  /** Until the first request comes the last word counts: agents may still be loading. */
  #serves(nodeId: string, runners: readonly RunnerInfo[]): void {
    if (this.#requests.length === 0 || !this.#runners.has(nodeId)) this.#runners.set(nodeId, runners);
  }

  #fact(fact: Fact, atMs: number, event: Event): void {
    switch (fact.kind) {
      case "accepted":
        this.#accept(fact.spec, atMs);
        return;
      case "placed": {
        const request = this.#live.get(fact.requestId);
        if (!request) return;
        request.placedAtMs = atMs;
        request.startedAtMs = Number.NaN;
        request.attempts = fact.attempt;
        request.gpuId = fact.gpuId;
        this.#enter(request.spec, gpusOf(fact), atMs);
        return;
      }
      case "retried":
        this.#leave(fact.requestId, atMs);
        return;
      case "ended":
        this.#end(fact.requestId, fact.phase, atMs, event);
        return;
      default:
    }
  }

  #accept(spec: RequestSpec, atMs: number): void {
    if (this.#requests.length >= MAX_REQUESTS) throw new RecordingError(`it has more than ${MAX_REQUESTS} requests: record for a shorter time`);
    const times = { placedAtMs: Number.NaN, startedAtMs: Number.NaN, firstOutputAtMs: Number.NaN, endedAtMs: Number.NaN };
    const request: RecordedRequest = { spec, arrivedAtMs: atMs, ...times, outcome: "unfinished", attempts: 0, gpuId: "", share: 1, statistics: null };
    this.#requests.push(request);
    this.#disconnects += this.#disconnectsSince;
    this.#disconnectsSince = 0;
    this.#live.set(spec.requestId, request);
  }

  #end(requestId: string, phase: RecordedRequest["outcome"], atMs: number, event: Event): void {
    const request = this.#live.get(requestId);
    if (!request) return;
    this.#live.delete(requestId);
    request.outcome = phase;
    request.endedAtMs = atMs;
    request.share = this.#leave(requestId, atMs);
    if (phase !== "completed" || event.kind !== "attempt_ended") return;
    request.statistics = event.end.statistics;
    // The router hears of a start a little after it happened; its own clock says when the first output came.
    const firstOutputMs = event.end.statistics?.firstOutputMs ?? 0;
    if (firstOutputMs > 0) request.firstOutputAtMs = Math.min(atMs, (Number.isNaN(request.startedAtMs) ? request.placedAtMs : request.startedAtMs) + firstOutputMs);
  }

  #enter({ requestId, requirements }: RequestSpec, gpuIds: readonly string[], atMs: number): void {
    const all = gpuIds.map((gpuId) => this.#occupancyOf(gpuId));
    const isTimed = requirements.inputTokens === 0 && requirements.outputTokens === 0;
    for (const of of all) {
      pass(of, atMs);
      if (of.running === 0) of.sinceMs = atMs;
      of.running += 1;
      of.timed += isTimed ? 1 : 0;
    }
    this.#atWork.set(requestId, { all, isTimed, sinceMs: atMs, sinceShareMs: all[0]?.shareMs ?? 0 });
  }

  /** Returns the share of its GPU that the request has got. */
  #leave(requestId: string, atMs: number): number {
    const work = this.#atWork.get(requestId);
    if (!work) return 1;
    this.#atWork.delete(requestId);
    const { all, isTimed, sinceMs, sinceShareMs } = work;
    for (const of of all) {
      pass(of, atMs);
      of.running -= 1;
      of.timed -= isTimed ? 1 : 0;
      if (of.running === 0) of.busyMs += atMs - of.sinceMs;
    }
    return all[0] && atMs > sinceMs ? (all[0].shareMs - sinceShareMs) / (atMs - sinceMs) : 1;
  }

  #occupancyOf(gpuId: string): Occupancy {
    const known = this.#occupancy.get(gpuId);
    if (known) return known;
    const of = { running: 0, timed: 0, sinceMs: 0, busyMs: 0, shareMs: 0, atMs: 0 };
    this.#occupancy.set(gpuId, of);
    return of;
  }
}

/** Lets the time go by in which nobody came or left. */
function pass(of: Occupancy, atMs: number): void {
  const sharers = of.timed + (of.running > of.timed ? 1 : 0);
  of.shareMs += (atMs - of.atMs) / Math.max(1, sharers);
  of.atMs = atMs;
}
