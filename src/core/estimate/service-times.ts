// How fast each kind of GPU serves each model: priors from the kind's speed, corrected by what attempts measured.
// Read by the work ledger and the scorers that think in seconds. Not durable: learned again within a few outcomes.
import { putLast } from "../../lib/put-last.js";
import type { LoadableModel } from "../model/gpu.js";
import { gpuSpeed } from "./gpu-speeds.js";

/** Tokens that an engine takes in per iteration at most; vLLM's and SGLang's default. */
export const TOKENS_PER_ITERATION = 2048;
/** Bound on models; one of which nothing was learned, or longest ago, goes first. */
const MAX_MODELS = 10_000;
/** Share of its error by which one outcome corrects the rates; the first outcomes correct more. */
const GAIN = 0.03;
/** No outcome counts for more than this many times the prediction, or less than one over it: one odd measurement must not. */
const MAX_RATIO = 2;
/** Share by which a promise moves the time that a model's callers can bear. */
const BEARABLE_GAIN = 0.05;
/** A well-filled GPU: requests, and tokens in their caches. Rates are corrected in these units, so that each gets its part of an error. */
const TYPICAL_CONCURRENCY = 16;
const TYPICAL_KV_TOKENS = 24_000;

/** An 8-billion-parameter model in 16 bits on the reference kind (A100-80GB): what is assumed of a model nobody has served yet. */
const KV_BYTES_PER_TOKEN = 131_072;
const PRIOR = { prefillMsPerToken: 0.09, stepBaseMs: 11, stepMsPerRequest: 0.1, stepMsPerKvToken: 0.0001, weightsMib: 15_300 };

/** The rates of one model, by kind of GPU, and what its callers can bear. All ms. */
export class ModelTimes {
  readonly modelId: string;
  /** Per prompt token. */
  readonly prefillMsPerToken: number[] = [];
  /** One iteration, which gives each running request one token: base + requests x slope + their tokens x slope. */
  readonly stepBaseMs: number[] = [];
  readonly stepMsPerRequest: number[] = [];
  readonly stepMsPerKvToken: number[] = [];
  /** Prompts and answers that the rates were learned from, by kind. */
  readonly prompts: number[] = [];
  readonly outcomes: number[] = [];
  /** How heavy it is beside the prior's model. */
  weight = 1;
  /** How much of a key-value cache a token takes, in tokens of 128 KiB. */
  kvWeight = 1;
  /** Time per iteration that requests with a promise can bear; Infinity before the first. */
  bearableStepMs = Number.POSITIVE_INFINITY;
  /** When the last of them was placed. */
  promisedAtMs = Number.NEGATIVE_INFINITY;

  constructor(modelId: string) {
    this.modelId = modelId;
  }

  /** A request was placed whose promise allows its iterations to take so long, ms. */
  promise(bearable: number, nowMs: number): void {
    this.bearableStepMs = this.bearableStepMs === Number.POSITIVE_INFINITY ? bearable : this.bearableStepMs + BEARABLE_GAIN * (bearable - this.bearableStepMs);
    this.promisedAtMs = nowMs;
  }
}

/** A model that a GPU worked for while an answer was written: share of the time, and means over it. */
export interface MetModel {
  readonly times: ModelTimes;
  /** 0..1. */
  readonly presence: number;
  readonly concurrency: number;
  readonly kvTokens: number;
}

export class ServiceTimes {
  /** Requests that a GPU works on at most. */
  readonly slots: number;
  readonly #kinds = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #models = new Map<string, ModelTimes>();

  constructor(slots = TYPICAL_CONCURRENCY) {
    this.slots = slots;
  }

  /** A small integer for a GPU's name; equal names are one kind. */
  kindOf(gpuName: string): number {
    let kind = this.#kinds.get(gpuName);
    if (kind === undefined) {
      kind = this.#names.length;
      this.#kinds.set(gpuName, kind);
      this.#names.push(gpuName);
      for (const times of this.#models.values()) this.#fill(times);
    }
    return kind;
  }

  of(modelId: string): ModelTimes {
    const known = this.#models.get(modelId);
    if (known) return known;
    const times = new ModelTimes(modelId);
    this.#fill(times);
    putLast(this.#models, modelId, times, MAX_MODELS);
    return times;
  }

  /** A runner tells how large a model is: until it has been measured, its rates follow from that. */
  tell({ modelId, memoryMib, kvTokenBytes }: LoadableModel): void {
    const times = this.of(modelId);
    if (kvTokenBytes) times.kvWeight = kvTokenBytes / KV_BYTES_PER_TOKEN;
    const weight = memoryMib / PRIOR.weightsMib;
    if (!(weight > 0) || weight === times.weight) return;
    times.weight = weight;
    for (let kind = 0; kind < times.outcomes.length; kind += 1) if (times.outcomes[kind] === 0 && times.prompts[kind] === 0) this.#prior(times, kind);
  }

  /**
   * A prompt took `measuredMs` where `predictedMs` was expected with `usedMsPerToken`: what it should have been, not what it is now, since
   * others that were placed with it have corrected it meanwhile.
   */
  learnPrefill(times: ModelTimes, kind: number, measuredMs: number, predictedMs: number, usedMsPerToken: number): void {
    if (!(measuredMs > 0 && predictedMs > 0)) return;
    const ratio = Math.min(MAX_RATIO, Math.max(1 / MAX_RATIO, measuredMs / predictedMs));
    times.prefillMsPerToken[kind]! += gainOf(times.prompts[kind]!) * (usedMsPerToken * ratio - times.prefillMsPerToken[kind]!);
    times.prompts[kind]! += 1;
    this.#keep(times);
  }

  /**
   * Tokens of a model came every `measuredMs` while the GPU worked for the models that it `met`, itself among them: normalised least mean
   * squares over the bases and slopes of all of them, against what the rates would predict now. A prediction of before would be
   * corrected again by each of those that were placed with it.
   */
  learnStep(times: ModelTimes, kind: number, measuredMs: number, met: readonly MetModel[]): number {
    let predictedMs = 0;
    let norm = 0;
    for (const { times: of, presence, concurrency, kvTokens } of met) {
      predictedMs += presence * of.stepBaseMs[kind]! + concurrency * of.stepMsPerRequest[kind]! + kvTokens * of.stepMsPerKvToken[kind]!;
      norm += presence ** 2 + (concurrency / TYPICAL_CONCURRENCY) ** 2 + (kvTokens / TYPICAL_KV_TOKENS) ** 2;
    }
    if (!(measuredMs > 0 && predictedMs > 0 && norm > 0)) return 0;
    const bounded = Math.min(predictedMs * MAX_RATIO, Math.max(predictedMs / MAX_RATIO, measuredMs));
    const step = (gainOf(times.outcomes[kind]!) * (bounded - predictedMs)) / norm;
    times.outcomes[kind]! += 1;
    for (const { times: of, presence, concurrency, kvTokens } of met) {
      of.stepBaseMs[kind] = atLeast(of.stepBaseMs[kind]!, step * presence);
      of.stepMsPerRequest[kind] = atLeast(of.stepMsPerRequest[kind]!, (step * concurrency) / TYPICAL_CONCURRENCY ** 2);
      of.stepMsPerKvToken[kind] = atLeast(of.stepMsPerKvToken[kind]!, (step * kvTokens) / TYPICAL_KV_TOKENS ** 2);
    }
    this.#keep(times);
    return predictedMs;
  }

  /** What was learned goes last. */
  #keep(times: ModelTimes): void {
    if (!this.#models.delete(times.modelId)) return;
    this.#models.set(times.modelId, times);
  }

  #fill(times: ModelTimes): void {
    for (let kind = times.stepBaseMs.length; kind < this.#names.length; kind += 1) {
      times.prompts[kind] = 0;
      times.outcomes[kind] = 0;
      this.#prior(times, kind);
    }
  }

  #prior(times: ModelTimes, kind: number): void {
    const { compute, bandwidth } = gpuSpeed(this.#names[kind]!);
    times.prefillMsPerToken[kind] = (PRIOR.prefillMsPerToken * times.weight) / compute;
    times.stepBaseMs[kind] = (PRIOR.stepBaseMs * times.weight) / bandwidth;
    times.stepMsPerRequest[kind] = (PRIOR.stepMsPerRequest * times.weight) / bandwidth;
    times.stepMsPerKvToken[kind] = PRIOR.stepMsPerKvToken / bandwidth;
  }
}

/** A rate after a correction; none becomes nothing. */
function atLeast(rate: number, change: number): number {
  return Math.max(rate * 0.5, rate + change);
}

function gainOf(outcomes: number): number {
  return Math.max(GAIN, 0.5 / (1 + outcomes / 4));
}

/** One output token's share of the iterations of a well-filled GPU, which works on `slots` requests at most, ms. */
export function writeMsPerToken(times: ModelTimes, kind: number, slots = TYPICAL_CONCURRENCY): number {
  const { stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = times;
  return stepBaseMs[kind]! / Math.min(slots, TYPICAL_CONCURRENCY) + (stepMsPerKvToken[kind]! * TYPICAL_KV_TOKENS) / TYPICAL_CONCURRENCY + stepMsPerRequest[kind]!;
}

/** Time on the GPU until a prompt of `tokens` has been read, ms, while iterations that also serve others take `stepMs`. */
export function prefillMs(msPerToken: number, tokens: number, stepMs: number): number {
  return tokens * (msPerToken + stepMs / TOKENS_PER_ITERATION) + stepMs;
}
