// Continuous batching in GPU time: which requests are in the batch, which wait, and how long the next iterations take.
// Used by batching-engine.ts, which turns GPU time into the clock's; follows the scheduler of vLLM V1:
//
// * An iteration gives every request past its prompt one token; what is left of the token budget reads prompts, first come first served,
//   the last one in part ("chunked prefill"). The iteration that ends a prompt yields the first token.
// * A request comes in when there is budget, a place, and room in the key-value cache for its whole prompt. When a step finds no room
//   for its new tokens, the request that came in last is put back to the front of the line. Later it reads again what has been
//   overwritten of its prompt and output by then, the end of it first.
// * Several models share one budget, one number of places and one cache: n tokens of a model whose cache alone would hold c take n/c of it.
//
// Iterations without arrival, end or preemption differ only in the tokens that they attend to, which grow by the same amount each
// time. So a run of them, a phase, has a closed form, and the cost is per event, not per token.
import { assert } from "../lib/assert.js";
import { LinkedList } from "../lib/linked-list.js";
import { BatchModels, type BatchModel } from "./batch-models.js";
import { IterationRun } from "./iteration-run.js";
import { SequenceEnds } from "./sequence-ends.js";
import { generatedBy, waitingSequence, type JobId, type Sequence, type TokenJob } from "./sequence.js";
import type { ServiceTimes } from "./service-times.js";

export interface TokenBatchOptions {
  readonly times: (modelId: string) => ServiceTimes;
  /** Requests in the batch at most. */
  readonly maxSeqs: number;
  /** Tokens of an iteration at most; more than maxSeqs, so that prompts always get on. */
  readonly tokenBudget: number;
}

export type BatchListener = (id: JobId, kind: "started" | "first_output" | "ended") => void;

/** Prompt tokens of one sequence in every iteration of the phase. */
interface Chunk {
  readonly sequence: Sequence;
  readonly tokens: number;
}

/** Uses of the cache are sums of quotients. */
const ROUNDING = 1e-9;
/** Tokens; `#allocated` sums up many such quotients. */
const SUM_ROUNDING = 1e-6;

export class TokenBatch {
  readonly #maxSeqs: number;
  readonly #tokenBudget: number;
  readonly #emit: BatchListener;
  readonly #models: BatchModels;
  readonly #waiting = new LinkedList<Sequence>();
  /** In the order in which they came in. */
  readonly #running = new LinkedList<Sequence>();
  readonly #ends = new SequenceEnds();
  /** Iterations before the phase in flight. All counts are as of its beginning. */
  #iteration = 0;
  readonly #phase = new IterationRun();
  /** Parts of the cache handed out so far, in all. */
  #allocated = 0;
  #chunks: Chunk[] = [];
  /** The one whose prompt is read in part; always the last that came in. */
  #partial: Sequence | null = null;

  constructor({ times, maxSeqs, tokenBudget }: TokenBatchOptions, emit: BatchListener) {
    assert(maxSeqs >= 1 && tokenBudget > maxSeqs, "an iteration has tokens for every place in the batch and for prompts");
    this.#maxSeqs = maxSeqs;
    this.#tokenBudget = tokenBudget;
    this.#models = new BatchModels(times);
    this.#emit = emit;
  }

  get running(): number {
    return this.#running.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get hasWork(): boolean {
    return this.#running.size + this.#waiting.size > 0;
  }

  get inFlight(): boolean {
    return this.#phase.count > 0;
  }

  /** GPU time of the phase in flight. */
  get phaseMs(): number {
    return this.#phase.spanMs;
  }

  /** Tokens in the cache when `elapsedMs` of the phase have passed. */
  kvTokens(elapsedMs: number): number {
    return this.#models.tokens + this.#phase.completedAfter(elapsedMs) * this.#models.decoding;
  }

  /** Part of the cache in use, 0..1; above 1 only when one request alone is larger than the cache. */
  kvUse(elapsedMs: number): number {
    return this.#models.cacheUse + this.#phase.completedAfter(elapsedMs) * this.#models.cacheGrowth;
  }

  /** Tokens that would still fit of the model that takes most of the cache for each; 0 when there are no requests. */
  kvFreeTokens(elapsedMs: number): number {
    const share = this.#models.largestTokenShare;
    return share === 0 ? 0 : Math.max(0, Math.floor((1 - this.kvUse(elapsedMs)) / share + ROUNDING));
  }

  /** Queues a job that comes `elapsedMs` into the phase; it comes in between two iterations at the earliest. */
  add(job: TokenJob, elapsedMs: number): Sequence {
    const model = this.#models.of(job.modelId);
    model.requests += 1;
    const sequence = waitingSequence(job, model);
    const first = this.#waiting.size === 0;
    sequence.place = this.#waiting.append(sequence);
    // A phase that reads prompts is one iteration, or has no budget left.
    if (first && this.#chunks.length === 0 && this.#fits(sequence)) this.#phase.cut(elapsedMs);
    return sequence;
  }

  /** Output tokens that a sequence has `elapsedMs` into the phase. */
  generated(sequence: Sequence, elapsedMs: number): number {
    return generatedBy(sequence, this.#iteration + this.#phase.completedAfter(elapsedMs));
  }

  /** Takes a job out `elapsedMs` into the phase. The iteration in flight keeps its length. Returns the output tokens that it had got. */
  remove(sequence: Sequence, elapsedMs: number): number {
    const done = this.#phase.completedAfter(elapsedMs);
    const generated = generatedBy(sequence, this.#iteration + done);
    this.#phase.cut(elapsedMs);
    if (sequence.state === "decoding") this.#allocated += done * sequence.model.tokenShare;
    this.#leave(sequence);
    return generated;
  }

  /** Reads the times of all models again; they hold from the next phase on. */
  retime(elapsedMs: number): void {
    this.#phase.cut(elapsedMs);
    this.#models.retime();
  }

  /** Begins the next phase: only between phases, and only with work. */
  plan(): void {
    assert(!this.inFlight && this.hasWork, "a phase begins after another, with something to do");
    const phase = this.#phase;
    phase.firstMs = 0;
    phase.growthMs = 0;
    const full = this.#makeRoom();
    const { decoding } = this.#models;
    let budget = this.#tokenBudget - decoding;
    let iterations = Number.POSITIVE_INFINITY;
    if (this.#partial) {
      // All but its last chunk, which leaves budget for the next in line.
      iterations = Math.max(1, Math.ceil(this.#partial.unread / budget) - 1);
      budget -= this.#read(this.#partial, budget);
    }
    if (!full && this.#letIn(budget) > 0) iterations = 1;
    if (decoding > 0) iterations = Math.min(iterations, this.#ends.nextIteration() - this.#iteration, this.#iterationsToFull());
    assert(Number.isFinite(iterations) && iterations >= 1, "a phase has an end");
    phase.count = iterations;
    for (const model of this.#models) this.#charge(model);
  }

  /** The phase in flight is over. */
  complete(): void {
    const { count } = this.#phase;
    this.#phase.count = 0;
    this.#iteration += count;
    this.#allocated += this.#models.cacheGrowth * count;
    for (const model of this.#models) model.decodingTokens += model.decoding * count;
    for (let ended = this.#ends.pop(this.#iteration); ended; ended = this.#ends.pop(this.#iteration)) this.#finish(ended);
    const chunks = this.#chunks;
    this.#chunks = [];
    for (const { sequence, tokens } of chunks) this.#afterReading(sequence, tokens * count);
  }

  /** Puts back the last ones until the next iteration's tokens have room. Returns whether it had to. */
  #makeRoom(): boolean {
    let full = false;
    while (this.#running.size > 1 && this.#models.cacheUse + this.#models.cacheGrowth > 1 + ROUNDING) {
      const last = this.#running.tail!.value;
      last.generated = generatedBy(last, this.#iteration);
      // What is free already is handed out before what it leaves.
      last.overwrittenFrom = this.#allocated + Math.max(0, 1 - this.#models.cacheUse);
      this.#release(last);
      last.state = "waiting";
      last.place = this.#waiting.insertBefore(this.#waiting.head, last);
      full = true;
    }
    return full;
  }

  /** A request that is larger than the cache comes in alone, so that it does not wait for ever. */
  #fits({ job, model, generated }: Sequence): boolean {
    if (this.#running.size === 0) return true;
    if (this.#running.size >= this.#maxSeqs) return false;
    const context = job.inputTokens + generated;
    return this.#models.cacheUse + this.#models.cacheGrowth + context * model.tokenShare <= 1 + ROUNDING;
  }

  /** Those in front of the line that fit and whose prompts get tokens of `budget`; returns how many. */
  #letIn(budget: number): number {
    let count = 0;
    for (let left = budget; left > 0; count += 1) {
      const next = this.#waiting.head?.value;
      if (!next || !this.#fits(next)) break;
      this.#comeIn(next);
      left -= this.#read(next, left);
    }
    return count;
  }

  #comeIn(sequence: Sequence): void {
    const { job, model } = sequence;
    if (sequence.place) this.#waiting.remove(sequence.place);
    sequence.place = this.#running.append(sequence);
    sequence.state = "reading";
    sequence.context = job.inputTokens + sequence.generated;
    const overwritten = Math.ceil(Math.max(0, this.#allocated - sequence.overwrittenFrom) / model.tokenShare - SUM_ROUNDING);
    // The last token is always read: the next one comes out of it.
    sequence.unread = Math.max(1, Math.min(sequence.context - job.cachedTokens, overwritten + sequence.unread));
    this.#allocated += Math.min(overwritten, sequence.context) * model.tokenShare;
    model.promptTokens += sequence.context;
    if (sequence.started) return;
    sequence.started = true;
    this.#emit(job.id, "started");
  }

  /** Plans a chunk of at most `budget` tokens in each iteration of the phase; returns how many. */
  #read(sequence: Sequence, budget: number): number {
    const { model, context, unread } = sequence;
    const { prefillMsPerToken, prefillMsPerTokenPair } = model.times;
    const tokens = Math.min(unread, budget);
    const before = Math.max(0, context - unread);
    this.#chunks.push({ sequence, tokens });
    this.#phase.firstMs += tokens * (prefillMsPerToken + (before + tokens / 2) * prefillMsPerTokenPair);
    this.#phase.growthMs += tokens * tokens * prefillMsPerTokenPair;
    model.reads = true;
    return tokens;
  }

  /** Adds to the phase what a model's weights and decoding requests take. */
  #charge(model: BatchModel): void {
    const { times, decoding, decodingTokens, reads } = model;
    model.reads = false;
    if (decoding === 0 && !reads) return;
    this.#phase.firstMs += times.stepBaseMs + decoding * times.stepMsPerRequest + decodingTokens * times.stepMsPerKvToken;
    this.#phase.growthMs += decoding * times.stepMsPerKvToken;
  }

  /** One request alone may outgrow the cache: putting it back would not help it. */
  #iterationsToFull(): number {
    if (this.#running.size <= 1) return Number.POSITIVE_INFINITY;
    return Math.max(1, Math.floor((1 - this.#models.cacheUse) / this.#models.cacheGrowth + ROUNDING));
  }

  #afterReading(sequence: Sequence, tokens: number): void {
    if (sequence.state !== "reading") return;
    sequence.unread -= tokens;
    this.#partial = sequence.unread > 0 ? sequence : null;
    if (this.#partial) return;
    const { job, model } = sequence;
    sequence.generated += 1;
    if (sequence.generated === 1) this.#emit(job.id, "first_output");
    if (sequence.generated >= job.outputTokens) {
      this.#finish(sequence);
      return;
    }
    sequence.state = "decoding";
    sequence.since = this.#iteration;
    model.promptTokens -= sequence.context;
    model.decoding += 1;
    model.decodingTokens += sequence.context;
    this.#ends.schedule(sequence, this.#iteration + job.outputTokens - sequence.generated);
  }

  #finish(sequence: Sequence): void {
    this.#leave(sequence);
    this.#emit(sequence.job.id, "ended");
  }

  #leave(sequence: Sequence): void {
    if (sequence.state !== "waiting") this.#release(sequence);
    else if (sequence.place) this.#waiting.remove(sequence.place);
    sequence.state = "gone";
    this.#models.leave(sequence.model);
  }

  /** Takes a sequence out of the batch, and its tokens out of the cache. */
  #release(sequence: Sequence): void {
    const { model } = sequence;
    if (sequence.place) this.#running.remove(sequence.place);
    if (sequence.state === "decoding") {
      model.decoding -= 1;
      model.decodingTokens -= sequence.context + this.#iteration - sequence.since;
      sequence.end = null;
    } else {
      model.promptTokens -= sequence.context;
      if (this.#partial === sequence) this.#partial = null;
    }
  }
}
