// One GPU at work: requests in tokens, batched as an inference engine does, and other work, which share the GPU in time.
// Driven by whoever has a clock: the simulator in virtual time, the simulated runner in real time. No I/O, no clock, no randomness.
//
// Batching itself is in token-batch.ts. Here its GPU time becomes the clock's: n pieces of other work and the batch each get an equal
// share of the GPU, and a slow GPU takes `slowdown` times as long for everything.
import { assert } from "../lib/assert.js";
import { Heap } from "../lib/heap.js";
import type { JobId, Sequence, TokenJob } from "./sequence.js";
import { TokenBatch, type TokenBatchOptions } from "./token-batch.js";

export type { JobId, TokenJob };

export interface EngineEvent {
  readonly id: JobId;
  /** "started": it came into the batch. "first_output": never for work that is not tokens. */
  readonly kind: "started" | "first_output" | "ended";
  readonly atMs: number;
}

export interface BatchingEngineOptions extends TokenBatchOptions {
  /** Factor on every time, at least 1; a straggler has more. 1 when left out. */
  readonly slowdown?: number;
}

/** Work that is not tokens. */
interface Work {
  readonly id: JobId;
  readonly workMs: number;
  /** By the clock that counts what each piece of work got of the GPU, ms. */
  readonly endsAtShareMs: number;
  readonly order: number;
  gone: boolean;
}

const NO_EVENTS: readonly EngineEvent[] = [];

/** Times never go back: every `nowMs` is at least the one before. */
export class BatchingEngine {
  readonly #batch: TokenBatch;
  readonly #jobs = new Map<JobId, Sequence | Work>();
  readonly #works = new Heap<Work>((a, b) => a.endsAtShareMs < b.endsAtShareMs || (a.endsAtShareMs === b.endsAtShareMs && a.order < b.order));
  #workCount = 0;
  #order = 0;
  readonly #slowdown: number;
  /** Everything up to here has happened. */
  #atMs = Number.NEGATIVE_INFINITY;
  /** GPU time that the phase in flight has got. */
  #phaseElapsedMs = 0;
  /** GPU time that a piece of work that was always there would have got. */
  #shareMs = 0;
  #busyMs = 0;
  /** Happened, not told yet. */
  #events: EngineEvent[] = [];

  constructor(options: BatchingEngineOptions) {
    this.#batch = new TokenBatch(options, (id, kind) => this.#tell(id, kind));
    this.#slowdown = options.slowdown ?? 1;
    assert(this.#slowdown >= 1, "a GPU can only be slower than its kind");
  }

  /** Requests in the batch, and other work, as of the last call that told the time. */
  get running(): number {
    return this.#batch.running + this.#workCount;
  }

  /** Requests that wait for a place or for room in the cache. */
  get waiting(): number {
    return this.#batch.waiting;
  }

  /** Tokens in the key-value cache. */
  get kvTokens(): number {
    return this.#batch.kvTokens(this.#phaseElapsedMs);
  }

  /** Part of the key-value cache in use, 0..1. */
  get kvUse(): number {
    return this.#batch.kvUse(this.#phaseElapsedMs);
  }

  /** Tokens in the cache and those that still fit of the model that needs most room for each; 0 when there are no requests. */
  get kvCapacityTokens(): number {
    return this.kvTokens + this.#batch.kvFreeTokens(this.#phaseElapsedMs);
  }

  /** A request comes; it waits inside, first come first served, until it fits. Its id must be new. 0 output tokens: ends with its prompt. */
  add(job: TokenJob, nowMs: number): void {
    assert(!this.#jobs.has(job.id), `job ${job.id} is here already`);
    assert(job.inputTokens >= 0 && job.outputTokens >= 0 && job.cachedTokens >= 0, `job ${job.id} has no negative tokens`);
    this.#roll(nowMs, false);
    this.#jobs.set(job.id, this.#batch.add(job, this.#phaseElapsedMs));
  }

  /** Work that takes `workMs` of the GPU alone. It starts at once. */
  addWork({ id, workMs }: { readonly id: JobId; readonly workMs: number }, nowMs: number): void {
    assert(!this.#jobs.has(id), `job ${id} is here already`);
    assert(workMs >= 0, `job ${id} takes no negative time`);
    this.#roll(nowMs, false);
    this.#order += 1;
    const work = { id, workMs, endsAtShareMs: this.#shareMs + workMs, order: this.#order, gone: false };
    this.#jobs.set(id, work);
    this.#works.push(work);
    this.#workCount += 1;
    this.#tell(id, "started");
  }

  /**
   * Takes a job out, wherever it is; tells what it has written, or how much of its work is left. Null when it is not here: it has ended,
   * though `advance` may not have told so yet.
   */
  remove(id: JobId, nowMs: number): { readonly outputTokens: number; readonly workLeftMs: number } | null {
    this.#roll(nowMs, false);
    const job = this.#jobs.get(id);
    if (!job) return null;
    this.#jobs.delete(id);
    if (!("endsAtShareMs" in job)) return { outputTokens: this.#batch.remove(job, this.#phaseElapsedMs), workLeftMs: 0 };
    job.gone = true;
    this.#workCount -= 1;
    return { outputTokens: 0, workLeftMs: Math.max(0, job.endsAtShareMs - this.#shareMs) };
  }

  /** How much of a job is done, 0..1: of its output tokens, or of its time. Null when it is not here. */
  progress(id: JobId, nowMs: number): number | null {
    this.#roll(nowMs, false);
    const job = this.#jobs.get(id);
    if (!job) return null;
    if ("endsAtShareMs" in job) return job.workMs === 0 ? 1 : 1 - Math.max(0, job.endsAtShareMs - this.#shareMs) / job.workMs;
    return this.#batch.generated(job, this.#phaseElapsedMs) / Math.max(1, job.job.outputTokens);
  }

  /** Asks for the times of all models again, such as when another model took part of the memory. */
  retime(nowMs: number): void {
    this.#roll(nowMs, false);
    this.#batch.retime(this.#phaseElapsedMs);
  }

  /** When to call `advance`: it has something to tell then. Infinity when there is nothing to wait for. Every other call may change it. */
  nextAtMs(): number {
    if (this.#events.length > 0 || (!this.#batch.inFlight && this.#batch.hasWork)) return this.#atMs;
    return Math.min(this.#phaseEndsAtMs(), this.#workEndsAtMs());
  }

  /** Lets the time pass up to and with `nowMs`; returns what happened, in the order of time. */
  advance(nowMs: number): readonly EngineEvent[] {
    this.#roll(nowMs, true);
    if (this.#events.length === 0) return NO_EVENTS;
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Time in which it worked, ms. */
  busyMs(nowMs: number): number {
    this.#roll(nowMs, false);
    return this.#busyMs;
  }

  /**
   * Up to `toMs`; with `begin` also what begins at that very moment. Without it, jobs that are still to come at that moment are in the same
   * iteration.
   */
  #roll(toMs: number, begin: boolean): void {
    assert(toMs >= this.#atMs, "time does not go back");
    for (;;) {
      if (!this.#batch.inFlight && this.#batch.hasWork && (this.#atMs < toMs || begin)) this.#batch.plan();
      if (!this.#batch.inFlight && this.#workCount === 0) {
        this.#atMs = toMs;
        return;
      }
      const phaseEndsAtMs = this.#phaseEndsAtMs();
      const workEndsAtMs = this.#workEndsAtMs();
      const nextAtMs = Math.min(phaseEndsAtMs, workEndsAtMs);
      if (nextAtMs > toMs) {
        this.#pass(toMs);
        return;
      }
      this.#pass(nextAtMs);
      if (phaseEndsAtMs <= workEndsAtMs) {
        this.#phaseElapsedMs = 0;
        this.#batch.complete();
      } else this.#endWork();
    }
  }

  /** Lets the time pass, in which nothing begins or ends. */
  #pass(toMs: number): void {
    const wallMs = toMs - this.#atMs;
    if (wallMs > 0) {
      const gpuMs = wallMs / this.#msPerShare();
      if (this.#batch.inFlight) this.#phaseElapsedMs += gpuMs;
      this.#shareMs += gpuMs;
      this.#busyMs += wallMs;
    }
    this.#atMs = toMs;
  }

  /** Time in which each of those that share the GPU gets 1 ms of it. */
  #msPerShare(): number {
    return this.#slowdown * (this.#workCount + (this.#batch.inFlight ? 1 : 0));
  }

  #phaseEndsAtMs(): number {
    if (!this.#batch.inFlight) return Number.POSITIVE_INFINITY;
    return this.#atMs + Math.max(0, this.#batch.phaseMs - this.#phaseElapsedMs) * this.#msPerShare();
  }

  #workEndsAtMs(): number {
    while (this.#works.first?.gone) this.#works.pop();
    const first = this.#works.first;
    if (!first) return Number.POSITIVE_INFINITY;
    return this.#atMs + Math.max(0, first.endsAtShareMs - this.#shareMs) * this.#msPerShare();
  }

  #endWork(): void {
    const work = this.#works.pop();
    assert(work !== undefined, "work that ends was there");
    this.#workCount -= 1;
    this.#tell(work.id, "ended");
  }

  #tell(id: JobId, kind: EngineEvent["kind"]): void {
    if (kind === "ended") this.#jobs.delete(id);
    this.#events.push({ id, kind, atMs: this.#atMs });
  }
}
