// What is asked of one model: tokens per second, in the long run and lately, and what shows that rates do not say it all. Kept by
// model-placement.ts, for models that are measured in tokens. Not durable: learned again within a minute.
import type { ModelId } from "../model/ids.js";

/** Demand of this long ago weighs 1/e, ms. As long as what is loaded for it should serve. */
const TAU_MS = 120_000;
/** The same for what came lately. */
const LATELY_TAU_MS = 15_000;
/** Rates are told of no shorter time than this, ms: two requests in the first second are no two a second. */
const LEAST_SPAN_MS = 10_000;
/** By so many deviations of chance must what came lately pass the long run before it is a surge. */
const SURGE_DEVIATIONS = 2;
/** Work in the background counts for less: it can be done when the others have had theirs. */
const BACKGROUND_WEIGHT = 0.3;
/** Less is no demand, tokens per second. */
const LEAST_RATE = 0.01;
/** Misses are remembered for so long, ms. */
const MISSED_TAU_MS = 60_000;
/** Fewer misses than this say nothing. */
const FEW_MISSES = 5;

/** Who waits for a request: somebody to whom a time was promised, somebody who takes it as it comes, nobody. */
export type Attendance = "promised" | "attended" | "background";

export class Demand {
  readonly modelId: ModelId;
  readonly #sinceMs: number;
  #atMs: number;
  /** Decayed sums of tokens, of those of requests with a promise, and of those that somebody waits for. */
  #input = 0;
  #output = 0;
  #promisedOutput = 0;
  #attended = 0;
  /** Of what came lately: tokens and requests. */
  #lately = 0;
  #requests = 0;
  /** Those with a promise, and those of them that could not be in time. */
  #promised = 0;
  #missed = 0;

  constructor(modelId: ModelId, nowMs: number) {
    this.modelId = modelId;
    this.#sinceMs = nowMs;
    this.#atMs = nowMs;
  }

  /** A request came. */
  take(inputTokens: number, outputTokens: number, attendance: Attendance, nowMs: number): void {
    this.#decay(nowMs);
    const weight = attendance === "background" ? BACKGROUND_WEIGHT : 1;
    this.#input += weight * inputTokens;
    this.#output += weight * outputTokens;
    this.#lately += weight * (inputTokens + outputTokens);
    this.#requests += 1;
    if (attendance !== "background") this.#attended += inputTokens + outputTokens;
    if (attendance !== "promised") return;
    this.#promisedOutput += outputTokens;
    this.#promised += 1;
  }

  /** One of them could not be in time. */
  miss(): void {
    this.#missed += 1;
  }

  /** Share of those with a promise that could not be in time, 0..1; 0 while they are few. */
  get missedShare(): number {
    return this.#missed < FEW_MISSES ? 0 : Math.min(1, this.#missed / Math.max(1, this.#promised));
  }

  /** Something was done about the misses: what comes now shows whether it was enough. */
  forgetMisses(): void {
    this.#promised = 0;
    this.#missed = 0;
  }

  /** Brings it up to date. */
  follow(nowMs: number): void {
    this.#decay(nowMs);
  }

  /** Output tokens per ms of requests with a promise. */
  get promisedOutputPerMs(): number {
    return this.#promisedOutput / spanMs(this.#atMs - this.#sinceMs, TAU_MS);
  }

  get isAsked(): boolean {
    const { input, output } = this.rates;
    return input + output >= LEAST_RATE;
  }

  /** Whether some of those who ask were promised something. */
  get isPromised(): boolean {
    return this.promisedOutputPerMs * 1000 >= LEAST_RATE;
  }

  /** Whether somebody waits for some of the answers, promised or not. */
  get isAttended(): boolean {
    return (this.#attended * 1000) / spanMs(this.#atMs - this.#sinceMs, TAU_MS) >= LEAST_RATE;
  }

  /** Tokens per second that there should be room for. */
  get rates(): { readonly input: number; readonly output: number } {
    const ageMs = this.#atMs - this.#sinceMs;
    const perSecond = 1000 / spanMs(ageMs, TAU_MS);
    const mean = (this.#input + this.#output) * perSecond;
    if (mean === 0) return { input: 0, output: 0 };
    const lately = (this.#lately * 1000) / spanMs(ageMs, LATELY_TAU_MS);
    const surge = (lately / mean) * (1 - SURGE_DEVIATIONS / Math.sqrt(Math.max(1, this.#requests)));
    const factor = perSecond * Math.max(1, surge);
    return { input: this.#input * factor, output: this.#output * factor };
  }

  #decay(nowMs: number): void {
    const elapsedMs = nowMs - this.#atMs;
    if (elapsedMs <= 0) return;
    this.#atMs = nowMs;
    const left = Math.exp(-elapsedMs / TAU_MS);
    this.#input *= left;
    this.#output *= left;
    this.#promisedOutput *= left;
    this.#attended *= left;
    const leftLately = Math.exp(-elapsedMs / LATELY_TAU_MS);
    this.#lately *= leftLately;
    this.#requests *= leftLately;
    const leftMissed = Math.exp(-elapsedMs / MISSED_TAU_MS);
    this.#promised *= leftMissed;
    this.#missed *= leftMissed;
  }
}

/** The time that a decayed sum stands for, ms: the first requests are not few because nothing came before them. */
function spanMs(ageMs: number, tauMs: number): number {
  return tauMs * (1 - Math.exp(-Math.max(LEAST_SPAN_MS, ageMs) / tauMs));
}
