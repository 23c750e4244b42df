// The columns of the work ledger: what it tells of each GPU, by its index. Written by work-ledger.ts, but for what the fleet and the placement
// know; read by the filters and scorers that think in seconds.
import { wider } from "../../lib/wider.js";
import { FIRST_CAPACITY } from "./load-columns.js";

export class WorkColumns {
  /** Kind of GPU, as `times` numbers them. */
  kind = new Int16Array(FIRST_CAPACITY);
  /** How many times as long as its kind it takes for everything, learned: a straggler has more than 1. */
  drag = new Float64Array(FIRST_CAPACITY).fill(1);
  /** Until then prompts are being read, ms. */
  prefillUntilMs = new Float64Array(FIRST_CAPACITY);
  /** One iteration with what runs now, ms; 0 when nothing does. */
  stepMs = new Float64Array(FIRST_CAPACITY);
  /** How much longer a token takes than an iteration because prompts are being read between; 1 when none are. */
  stretch = new Float64Array(FIRST_CAPACITY).fill(1);
  /** Requests measured in tokens. */
  held = new Int32Array(FIRST_CAPACITY);
  /** Output tokens that are still to come, of all of them. */
  remainingTokens = new Float64Array(FIRST_CAPACITY);
  /** Tokens in the key-value cache once all have ended, tokens of 128 KiB. */
  kvTokens = new Float64Array(FIRST_CAPACITY);
  /** 0 when unknown. */
  kvCapacityTokens = new Float64Array(FIRST_CAPACITY);
  /** How much later everything may end before the first promise breaks, ms; Infinity without promises. */
  slackMs = new Float64Array(FIRST_CAPACITY);
  /** Up to this batch work may lengthen an iteration, ms; Infinity where nobody else needs the GPU. Set by the placement's tick. */
  batchStepLimitMs = new Float64Array(FIRST_CAPACITY).fill(Number.POSITIVE_INFINITY);
  /** Output tokens of requests with a promise that are expected to come, per ms, if they are spread evenly. Set by the placement's tick. */
  expectedTokensPerMs = new Float64Array(FIRST_CAPACITY);
  /** Output tokens that the one with the least slack still has to write. */
  tightTokens = new Float64Array(FIRST_CAPACITY);
  /** The most that any of those with a promise still has to write. */
  mostTokens = new Float64Array(FIRST_CAPACITY);

  /** Makes room in every column for `capacity` GPUs. */
  protected widen(capacity: number): void {
    const before = this.kind.length;
    this.kind = wider(this.kind, capacity);
    this.drag = wider(this.drag, capacity).fill(1, before);
    this.prefillUntilMs = wider(this.prefillUntilMs, capacity);
    this.stepMs = wider(this.stepMs, capacity);
    this.stretch = wider(this.stretch, capacity).fill(1, before);
    this.held = wider(this.held, capacity);
    this.remainingTokens = wider(this.remainingTokens, capacity);
    this.kvTokens = wider(this.kvTokens, capacity);
    this.kvCapacityTokens = wider(this.kvCapacityTokens, capacity);
    this.slackMs = wider(this.slackMs, capacity);
    this.batchStepLimitMs = wider(this.batchStepLimitMs, capacity).fill(Number.POSITIVE_INFINITY, before);
    this.expectedTokensPerMs = wider(this.expectedTokensPerMs, capacity);
    this.tightTokens = wider(this.tightTokens, capacity);
    this.mostTokens = wider(this.mostTokens, capacity);
  }
}
