// What placing a request on each GPU would mean, predicted once per decision for the filters and scorers that think in seconds. They
// read its columns; nothing here judges. Work that is not measured in tokens has no prediction.
import type { WorkLedger } from "../fleet/work-ledger.js";
import { TOKENS_PER_ITERATION } from "../estimate/service-times.js";
import type { Ask } from "./contract.js";

/** Columns by GPU index, valid for the GPUs of the list that it was made for. */
export class Prediction {
  /** By how much an iteration becomes longer, ms. */
  addedStepMs = new Float64Array(64);
  /** Reading the prompt takes this long once it is begun, ms. */
  readMs = new Float64Array(64);
  /** When the first output would come, UTC ms. */
  firstOutputAtMs = new Float64Array(64);
  /** Writing the answer takes this long, ms. */
  writeMs = new Float64Array(64);
  #of: Ask | null = null;
  #changes = -1;

  /** Makes the prediction for the first `count` of `candidates`; later calls for the same ask find it made. */
  make(work: WorkLedger, ask: Ask, candidates: Int32Array, count: number): this {
    if (this.#of === ask && this.#changes === work.changes) return this;
    this.#of = ask;
    this.#changes = work.changes;
    const { kind, stepMs, prefillUntilMs, stretch } = work;
    if (this.readMs.length < kind.length) this.#grow(kind.length);
    const { addedStepMs, readMs, firstOutputAtMs, writeMs } = this;
    const { nowMs, estimate, spec } = ask;
    const { inputTokens = 0, outputTokens = 0 } = estimate;
    const times = work.times.of(spec.modelId);
    const { prefillMsPerToken, stepBaseMs, stepMsPerRequest, stepMsPerKvToken } = times;
    const counts = work.countsOf(times);
    const tokens = inputTokens + outputTokens;
    const iterations = inputTokens / TOKENS_PER_ITERATION + 1;
    for (let k = 0; k < count; k += 1) {
      const gpu = candidates[k]!;
      const ofKind = kind[gpu]!;
      let added = stepMsPerRequest[ofKind]! + tokens * stepMsPerKvToken[ofKind]!;
      if (counts === undefined || counts[gpu] === 0) added += stepBaseMs[ofKind]!;
      const step = stepMs[gpu]! + added;
      const read = inputTokens * prefillMsPerToken[ofKind]! + iterations * step;
      const until = prefillUntilMs[gpu]!;
      addedStepMs[gpu] = added;
      readMs[gpu] = read;
      firstOutputAtMs[gpu] = (until > nowMs ? until : nowMs) + read;
      writeMs[gpu] = outputTokens * step * stretch[gpu]!;
    }
    return this;
  }

  /** The prediction for one GPU, for a decision's description. */
  makeFor(work: WorkLedger, ask: Ask, gpu: number): this {
    this.#of = null;
    this.make(work, ask, Int32Array.of(gpu), 1);
    // It was made for one GPU only.
    this.#of = null;
    return this;
  }

  #grow(capacity: number): void {
    this.addedStepMs = new Float64Array(capacity);
    this.readMs = new Float64Array(capacity);
    this.firstOutputAtMs = new Float64Array(capacity);
    this.writeMs = new Float64Array(capacity);
  }
}
