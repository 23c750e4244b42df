// How fast each kind of GPU serves each model: priors from the kind's speed, corrected by what attempts measured.
// Read by the work ledger and the scorers that think in seconds. Not durable: learned again within a few outcomes.
import { gpuSpeed } from "./gpu-speeds.js";

/** Tokens that an engine takes in per iteration at most; vLLM's and SGLang's default. */
const TOKENS_PER_ITERATION = 2048;
/** Bound on models; the one that was asked for longest ago goes first. */
const MAX_MODELS = 10_000;
/** Share of its error by which one outcome corrects a rate. */
const GAIN = 0.05;
/** No outcome moves a rate by more than this factor: one odd measurement must not. */
const MAX_CORRECTION = 1.25;
/** Concurrency at which base and slope weigh alike when an error is shared out between them. */
const TYPICAL_CONCURRENCY = 16;

/** An 8-billion-parameter model in 16 bits on the reference kind (A100-80GB): what is assumed of a model nobody has served yet. */
const PRIOR = { prefillMsPerToken: 0.09, stepBaseMs: 11, stepMsPerRequest: 0.15 };

/** The rates of one model, by kind of GPU, and what its callers can bear. All ms. */
export class ModelTimes {
  readonly modelId: string;
  /** Per prompt token. */
  readonly prefillMsPerToken: number[] = [];
  /** One iteration, which gives each running request one token: base + requests x slope. */
  readonly stepBaseMs: number[] = [];
  readonly stepMsPerRequest: number[] = [];
  /** Time per token that requests with a deadline can bear; Infinity before the first. */
  bearableStepMs = Number.POSITIVE_INFINITY;
  /** When the last of them was placed. */
  promisedAtMs = Number.NEGATIVE_INFINITY;

  constructor(modelId: string) {
    this.modelId = modelId;
  }

  /** A request with a deadline begins to write at `fromMs`. */
  promise({ dueAtMs, outputTokens }: { readonly dueAtMs: number; readonly outputTokens: number }, fromMs: number, nowMs: number): void {
    const bearable = (dueAtMs - fromMs) / Math.max(1, outputTokens);
    this.bearableStepMs = this.bearableStepMs === Number.POSITIVE_INFINITY ? bearable : this.bearableStepMs + GAIN * (bearable - this.bearableStepMs);
    this.promisedAtMs = nowMs;
  }
}

export class ServiceTimes {
  readonly #kinds = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #models = new Map<string, ModelTimes>();

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
    this.#models.set(modelId, times);
    if (this.#models.size > MAX_MODELS) this.#models.delete(this.#models.keys().next().value!);
    return times;
  }

  /** A prompt took `measuredMs` where `predictedMs` was expected. */
  learnPrefill(times: ModelTimes, kind: number, measuredMs: number, predictedMs: number): void {
    times.prefillMsPerToken[kind]! *= correction(measuredMs, predictedMs);
  }

  /** Tokens came every `measuredMs` where `predictedMs` was expected with `concurrency` requests running. */
  learnStep(times: ModelTimes, kind: number, measuredMs: number, predictedMs: number, concurrency: number): void {
    const factor = correction(measuredMs, predictedMs);
    // The part that dominated the prediction is the part that was wrong.
    const slopeShare = concurrency / (concurrency + TYPICAL_CONCURRENCY);
    times.stepBaseMs[kind]! *= 1 + (factor - 1) * 2 * (1 - slopeShare);
    times.stepMsPerRequest[kind]! *= 1 + (factor - 1) * 2 * slopeShare;
  }

  #fill(times: ModelTimes): void {
    for (let kind = times.stepBaseMs.length; kind < this.#names.length; kind += 1) {
      const { compute, bandwidth } = gpuSpeed(this.#names[kind]!);
      times.prefillMsPerToken.push(PRIOR.prefillMsPerToken / compute);
      times.stepBaseMs.push(PRIOR.stepBaseMs / bandwidth);
      times.stepMsPerRequest.push(PRIOR.stepMsPerRequest / bandwidth);
    }
  }
}

/** One output token's share of the iterations of a well-filled GPU, ms. */
export function writeMsPerToken(times: ModelTimes, kind: number): number {
  return times.stepBaseMs[kind]! / TYPICAL_CONCURRENCY + times.stepMsPerRequest[kind]!;
}

/** Time on the GPU until a prompt of `tokens` has been read, ms, while iterations that also serve others take `stepMs`. */
export function prefillMs(msPerToken: number, tokens: number, stepMs: number): number {
  return tokens * (msPerToken + stepMs / TOKENS_PER_ITERATION) + stepMs;
}

function correction(measuredMs: number, predictedMs: number): number {
  if (!(measuredMs > 0 && predictedMs > 0)) return 1;
  const ratio = Math.min(MAX_CORRECTION, Math.max(1 / MAX_CORRECTION, measuredMs / predictedMs));
  return 1 + GAIN * (ratio - 1);
}
