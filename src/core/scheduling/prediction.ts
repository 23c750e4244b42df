// What placing a request on each GPU would mean, predicted once per decision for the filters and scorers that think in seconds. They
// read its columns; nothing here judges. Work that is not measured in tokens has no prediction.
import { TOKENS_PER_ITERATION } from "../estimate/service-times.js";
import type { Fleet } from "../fleet/fleet.js";
import { blockTokens } from "../fleet/prefix-index.js";
import { wishesOf } from "../model/request.js";
import type { Ask } from "./contract.js";

const NO_LENGTHS = new Int32Array(0);

/** Columns by GPU index, valid for the GPUs of the list that it was made for. */
export class Prediction {
  /** By how much an iteration becomes longer, ms. */
  addedStepMs = new Float64Array(64);
  /** Reading the prompt takes this long once it is begun, ms. */
  readMs = new Float64Array(64);
  /** Of that, what need not be read because the GPU has read the same prompt up to there, ms. */
  savedMs = new Float64Array(64);
  /** When the first output would come, UTC ms. */
  firstOutputAtMs = new Float64Array(64);
  /** Writing the answer takes this long, ms. */
  writeMs = new Float64Array(64);
  #of: Ask | null = null;
  #changes = -1;
  /** Whether any saving is in the column. */
  #saves = false;
  readonly #affinity: boolean;

  /** With `affinity`, what was read before counts as read. */
  constructor(affinity: boolean) {
    this.#affinity = affinity;
  }

  /** Makes the prediction for the first `count` of `candidates`; later calls for the same ask find it made. */
  make(fleet: Fleet, ask: Ask, candidates: Int32Array, count: number): this {
    const { work } = fleet;
    if (this.#of === ask && this.#changes === work.changes) return this;
    this.#of = ask;
    this.#changes = work.changes;
    const { kind, drag, stepMs, prefillUntilMs, stretch } = work;
    if (this.readMs.length < kind.length) this.#grow(kind.length);
    const { addedStepMs, readMs, firstOutputAtMs, writeMs } = this;
    const { nowMs, estimate, spec } = ask;
    const { inputTokens = 0, outputTokens = 0 } = estimate;
    const times = work.times.of(spec.modelId);
    const { prefillMsPerToken, stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = times;
    const counts = work.countsOf(times);
    const tokens = (inputTokens + outputTokens) * times.kvWeight;
    const iterations = inputTokens / TOKENS_PER_ITERATION + 1;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const ofKind = kind[gpu]!;
      let added = stepMsPerRequest[ofKind]! + tokens * stepMsPerKvToken[ofKind]!;
      if (counts === undefined || counts[gpu] === 0) added += stepBaseMs[ofKind]!;
      const slowness = drag[gpu]!;
      added *= slowness;
      const step = stepMs[gpu]! + added;
      const read = inputTokens * prefillMsPerToken[ofKind]! * slowness + iterations * step;
      const until = prefillUntilMs[gpu]!;
      addedStepMs[gpu] = added;
      readMs[gpu] = read;
      firstOutputAtMs[gpu] = (until > nowMs ? until : nowMs) + read;
      writeMs[gpu] = outputTokens * step * stretch[gpu]!;
    }
    this.#save(fleet, ask, candidates, count, prefillMsPerToken);
    return this;
  }

  /** The prediction for one GPU, for a decision's description. */
  makeFor(fleet: Fleet, ask: Ask, gpu: number): this {
    this.#of = null;
    this.make(fleet, ask, Int32Array.of(gpu), 1);
    // It was made for one GPU only.
    this.#of = null;
    return this;
  }

  /** Whether anything is saved anywhere, as far as the list goes that it was made for. */
  get saves(): boolean {
    return this.#saves;
  }

  /** Takes off the prompts what lies in caches: what others with the same beginning left there, or the session's turn before. */
  #save(fleet: Fleet, { spec, estimate, nowMs }: Ask, candidates: Int32Array, count: number, prefillMsPerToken: readonly number[]): void {
    const { prefixHashes } = wishesOf(spec);
    const { savedMs, firstOutputAtMs } = this;
    const context = this.#affinity ? fleet.sessions.contextOf(spec, nowMs) : null;
    if (!context && (!this.#affinity || prefixHashes.length === 0)) {
      if (this.#saves) savedMs.fill(0);
      this.#saves = false;
      return;
    }
    this.#saves = true;
    const { kind, drag } = fleet.work;
    const lengths = prefixHashes.length > 0 ? fleet.prefixes.lengths(spec.modelId, prefixHashes) : NO_LENGTHS;
    const most = estimate.inputTokens ?? 0;
    const perBlock = blockTokens(most, prefixHashes.length);
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      let tokens = (lengths[gpu] ?? 0) * perBlock;
      // Both tell of the same beginning.
      if (gpu === context?.gpu && context.tokens > tokens) tokens = context.tokens;
      const saved = Math.min(most, tokens) * prefillMsPerToken[kind[gpu]!]! * drag[gpu]!;
      savedMs[gpu] = saved;
      firstOutputAtMs[gpu]! -= saved;
    }
  }

  #grow(capacity: number): void {
    this.addedStepMs = new Float64Array(capacity);
    this.readMs = new Float64Array(capacity);
    this.savedMs = new Float64Array(capacity);
    this.firstOutputAtMs = new Float64Array(capacity);
    this.writeMs = new Float64Array(capacity);
  }
}
