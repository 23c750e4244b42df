// What the requests on each GPU still have to do, as far as can be told without asking: tokens to read and to write, the time
// of one iteration, how much later anything may end before a promise breaks. A fold of placements and ends, so two requests
// between two telemetry samples see each other. Written by fleet.ts; read by the filters and scorers that think in seconds.
import { wider } from "../../lib/wider.js";
import { prefillMs, type ModelTimes, type ServiceTimes } from "../estimate/service-times.js";
import type { RequestId } from "../model/ids.js";
import type { RunStatistics } from "../model/request.js";
import { FIRST_CAPACITY } from "./load-columns.js";
import { OthersWork, type EngineFigures } from "./others-work.js";
import { ModelsAtWork, type ModelSums } from "./models-at-work.js";
import { bearableStepMs, type Work } from "./work.js";
import { WorkColumns } from "./work-columns.js";

/** A placement under way. */
interface Held {
  readonly work: Work;
  readonly times: ModelTimes;
  readonly placedAtMs: number;
  /** When its prompt begins to be read, and when it has been, ms. */
  readonly readFromMs: number;
  readonly prefilledAtMs: number;
  /** What it takes in the key-value cache, tokens of 128 KiB. */
  readonly tokens: number;
  /** Output tokens so far, and as many as are expected still. */
  doneTokens: number;
  leftTokens: number;
  /** How much later it may end, ms; below 0 when its promise is broken already, Infinity when it has none. Prompts are read in turn: what comes later moves no first output. */
  slackMs: number;
  /** Running sums when its prompt had been read: the difference at its end is what it met. null before that. */
  atStart: { readonly stallArea: number; readonly models: readonly ModelSums[] } | null;
  /** What a prompt token was taken to cost when it was placed, ms. */
  readonly prefillMsPerToken: number;
}

/** A request that writes more than was expected is expected to write this many more, always, at the pace it was promised. */
const OVERTIME_TOKENS = 32;
/** The share of time that reading takes is an average over this long, ms. */
const STALL_TAU_MS = 10_000;
/** A share of time below this is none. */
const NO_STALL = 0.001;
/** While prompts are read, iterations take longer: running requests get this share of their usual pace. */
const PACE_DURING_PREFILL = 0.25;
/** Outputs shorter than this say little about the pace. */
const MIN_LEARNED_TOKENS = 8;
/** Share by which an outcome moves what is believed of its GPU, and by which that returns to its kind. */
const DRAG_GAIN = 0.1;
/** Outcomes after which a kind's rates are known well enough to judge one GPU by them. */
const KIND_KNOWN_AFTER = 150;
const DRAG_RETURN = 0.01;
/** GPUs of a kind, itself included, without which nothing tells a slow one from a slow kind. */
const MIN_PEERS = 3;
const MAX_DRAG_RATIO = 1.5;
const MAX_DRAG = 8;
/** Bound on models with a column; idle ones go above it. */
const MAX_COUNTED_MODELS = 1_000;

export class WorkLedger extends WorkColumns {
  readonly times: ServiceTimes;
  /** Grows with every placement and end. */
  changes = 0;
  readonly #held: Held[][] = [];
  readonly others = new OthersWork();
  /** GPUs by kind. */
  readonly #ofKind: number[] = [];
  /** By GPU. */
  readonly #atWork: ModelsAtWork[] = [];
  /** By model: requests on each GPU. */
  readonly #counts = new Map<ModelTimes, { column: Int32Array; total: number }>();
  /** When the columns of a GPU were last brought up to date, ms. */
  #asOfMs = new Float64Array(FIRST_CAPACITY);
  /** Time that went into reading prompts, ms. */
  #stallArea = new Float64Array(FIRST_CAPACITY);
  /** Share of time that went into reading prompts lately, 0..1. */
  #stallShare = new Float64Array(FIRST_CAPACITY);

  constructor(times: ServiceTimes) {
    super();
    this.times = times;
  }

  /** Enters a GPU, or renames a known one. */
  register(gpu: number, name: string): void {
    if (gpu >= this.kind.length) this.#grow();
    const kind = this.times.kindOf(name);
    this.#ofKind[kind] = (this.#ofKind[kind] ?? 0) + 1;
    if (this.#held[gpu]) this.#ofKind[this.kind[gpu]!]! -= 1;
    this.kind[gpu] = kind;
    if (this.#held[gpu]) return;
    this.#held[gpu] = [];
    this.#atWork[gpu] = new ModelsAtWork();
    this.slackMs[gpu] = Number.POSITIVE_INFINITY;
  }

  place(gpu: number, work: Work, nowMs: number): void {
    if (work.inputTokens + work.outputTokens === 0) return;
    this.#settle(gpu, nowMs);
    const times = this.times.of(work.modelId);
    const tokens = (work.inputTokens + work.outputTokens) * times.kvWeight;
    const stepMs = this.stepMs[gpu]! + this.addedStepMs(gpu, times, tokens);
    const startMs = Math.max(nowMs, this.prefillUntilMs[gpu]!);
    const msPerToken = this.drag[gpu]! * times.prefillMsPerToken[this.kind[gpu]!]!;
    const prefilledAtMs = startMs + prefillMs(msPerToken, work.inputTokens - work.cachedTokens, stepMs);
    this.held[gpu]! += 1;
    this.#count(gpu, times, 1, tokens);
    const held: Held = {
      work,
      times,
      placedAtMs: nowMs,
      readFromMs: startMs,
      prefilledAtMs,
      tokens,
      doneTokens: 0,
      leftTokens: work.outputTokens,
      slackMs: Number.POSITIVE_INFINITY,
      atStart: null,
      prefillMsPerToken: times.prefillMsPerToken[this.kind[gpu]!]!,
    };
    this.prefillUntilMs[gpu] = prefilledAtMs;
    const bearableMs = bearableStepMs(work, msPerToken, startMs, prefilledAtMs);
    if (bearableMs < Number.POSITIVE_INFINITY) times.promise(bearableMs, nowMs);
    this.#held[gpu]!.push(held);
    this.#weigh(gpu, nowMs);
  }

  /** Takes a placement out; `measured` teaches the rates. Does nothing for work that is not measured in tokens. */
  release(gpu: number, requestId: RequestId, nowMs: number, measured: RunStatistics | null): void {
    const all = this.#held[gpu]!;
    const place = all.findIndex(({ work }) => work.requestId === requestId);
    if (place < 0) return;
    const held = all[place]!;
    this.#settle(gpu, nowMs);
    if (measured) this.#learn(gpu, held, measured, nowMs);
    all.splice(place, 1);
    this.held[gpu]! -= 1;
    this.#count(gpu, held.times, -1, held.tokens);
    this.others.ended(gpu, held.placedAtMs, nowMs);
    // What ends has been read, and all before it; what is taken away is not read on. Without anything left, nothing is being read.
    const unreadMs = held.prefilledAtMs - Math.max(nowMs, measured ? nowMs : held.readFromMs);
    if (all.length === 0) {
      this.prefillUntilMs[gpu] = nowMs;
      this.#atWork[gpu]!.forgetEnded();
    } else if (unreadMs > 0) {
      this.prefillUntilMs[gpu] = Math.max(nowMs, this.prefillUntilMs[gpu]! - unreadMs);
    }
    this.#weigh(gpu, nowMs);
  }

  /** What is more than ours slows ours down. */
  engineTells(gpu: number, { modelId, requests, tokens, atMs }: EngineFigures, nowMs: number): void {
    this.#settle(gpu, nowMs);
    this.#countOthers(gpu, -1);
    const ours = this.#held[gpu]!.filter(({ placedAtMs }) => placedAtMs <= atMs).length + this.others.endedSince(gpu, atMs);
    this.others.tell(gpu, { times: this.times.of(modelId), count: Math.max(0, requests - ours), tokens: Math.max(0, tokens - this.kvTokens[gpu]!) });
    this.#countOthers(gpu, 1);
    this.#weigh(gpu, nowMs);
  }

  /** Nothing is there but ours, as far as is known. */
  forgetOthers(gpu: number, nowMs: number): void {
    this.#settle(gpu, nowMs);
    this.#countOthers(gpu, -1);
    this.others.forget(gpu);
    this.#weigh(gpu, nowMs);
  }

  #countOthers(gpu: number, by: 1 | -1): void {
    const others = this.others.of(gpu);
    if (others) this.#count(gpu, others.times, by * others.count, others.tokens / Math.max(1, others.count));
  }

  /** When the last of its requests has written its answer at the present pace, ms; now without any. */
  endsAtMs(gpu: number, nowMs: number): number {
    const paceMs = this.stepMs[gpu]! * this.stretch[gpu]!;
    const asOfMs = this.#asOfMs[gpu]!;
    let endsAtMs = nowMs;
    for (const { work, doneTokens, prefilledAtMs } of this.#held[gpu]!) {
      const writtenSince = paceMs > 0 ? Math.max(0, nowMs - Math.max(asOfMs, prefilledAtMs)) / paceMs : 0;
      const tokens = Math.max(OVERTIME_TOKENS, work.outputTokens - doneTokens - writtenSince);
      endsAtMs = Math.max(endsAtMs, Math.max(nowMs, prefilledAtMs) + tokens * paceMs);
    }
    return endsAtMs;
  }

  /** Brings all GPUs up to date: answers grow and slack changes though nothing is placed and nothing ends. */
  follow(nowMs: number): void {
    for (let gpu = 0; gpu < this.#held.length; gpu += 1) {
      if (this.held[gpu] === 0 && this.#stallShare[gpu]! < NO_STALL) continue;
      this.#settle(gpu, nowMs);
      this.#weigh(gpu, nowMs);
    }
  }

  /**
   * Whether every promise that holds on a GPU still holds, with `share` of its slack, when all stops for `stopMs` and then each token takes
   * `perTokenMs` longer. O(requests on it); `slackMs` with `tightTokens` or `mostTokens` mostly tells without.
   */
  bears(gpu: number, stopMs: number, perTokenMs: number, share: number): boolean {
    for (const { slackMs, leftTokens } of this.#held[gpu]!) if (slackMs >= 0 && stopMs + leftTokens * perTokenMs > slackMs * share) return false;
    return true;
  }

  /** The promises on a GPU with their slack, ms; below 0 when broken. */
  *promises(gpu: number): Iterable<{ readonly requestId: RequestId; readonly slackMs: number }> {
    for (const { work, slackMs } of this.#held[gpu]!) if (slackMs < Number.POSITIVE_INFINITY) yield { requestId: work.requestId, slackMs };
  }

  /** How much longer an iteration becomes with one more request of a model that holds `tokens`, ms. */
  addedStepMs(gpu: number, times: ModelTimes, tokens: number): number {
    const kind = this.kind[gpu]!;
    const others = this.#counts.get(times)?.column[gpu] ?? 0;
    return this.drag[gpu]! * (times.stepMsPerRequest[kind]! + tokens * times.stepMsPerKvToken[kind]! + (others === 0 ? times.stepBaseMs[kind]! : 0));
  }

  /** Requests of a model by GPU; undefined when it has none. For loops over many GPUs. */
  countsOf(times: ModelTimes): Int32Array | undefined {
    return this.#counts.get(times)?.column;
  }

  /** Requests of a model come or go, each of which holds `tokens`. */
  #count(gpu: number, times: ModelTimes, by: number, tokens: number): void {
    this.kvTokens[gpu]! += by * tokens;
    this.#atWork[gpu]!.count(times, by, tokens);
    let counts = this.#counts.get(times);
    if (!counts) {
      if (this.#counts.size >= MAX_COUNTED_MODELS) for (const [idle, { total }] of this.#counts) if (total === 0) this.#counts.delete(idle);
      counts = { column: new Int32Array(this.kind.length), total: 0 };
      this.#counts.set(times, counts);
    }
    if (counts.column.length < this.kind.length) counts.column = wider(counts.column, this.kind.length);
    counts.column[gpu]! += by;
    counts.total += by;
  }

  /** Lets time pass: output grows, sums grow. */
  #settle(gpu: number, nowMs: number): void {
    const fromMs = this.#asOfMs[gpu]!;
    const elapsedMs = nowMs - fromMs;
    const stepMs = this.stepMs[gpu]!;
    if (elapsedMs <= 0) {
      this.#asOfMs[gpu] = nowMs;
      return;
    }
    const stalledMs = Math.max(0, Math.min(nowMs, this.prefillUntilMs[gpu]!) - fromMs);
    for (const held of this.#held[gpu]!) if (!held.atStart && held.prefilledAtMs <= nowMs) held.atStart = this.#sumsAt(gpu, Math.max(fromMs, held.prefilledAtMs));
    this.#stallArea[gpu]! += stalledMs;
    const left = Math.exp(-elapsedMs / STALL_TAU_MS);
    this.#stallShare[gpu] = this.#stallShare[gpu]! * left + (stalledMs / elapsedMs) * (1 - left);
    this.stretch[gpu] = 1 / (1 - this.#stallShare[gpu]! * (1 - PACE_DURING_PREFILL));
    this.#asOfMs[gpu] = nowMs;
    if (stepMs === 0) return;
    this.#atWork[gpu]!.pass(elapsedMs);
    for (const held of this.#held[gpu]!) {
      const writtenMs = nowMs - Math.max(fromMs, held.prefilledAtMs);
      if (writtenMs <= 0) continue;
      const stalled = Math.min(writtenMs, stalledMs);
      held.doneTokens += (writtenMs - stalled * (1 - PACE_DURING_PREFILL)) / stepMs;
    }
  }

  /** The running sums at a time since the last settling: nothing has changed since. */
  #sumsAt(gpu: number, atMs: number): NonNullable<Held["atStart"]> {
    const fromMs = this.#asOfMs[gpu]!;
    return {
      stallArea: this.#stallArea[gpu]! + Math.max(0, Math.min(atMs, this.prefillUntilMs[gpu]!) - fromMs),
      models: this.#atWork[gpu]!.sums(atMs - fromMs),
    };
  }

  /** Recomputes the columns of a GPU from what it holds. */
  #weigh(gpu: number, nowMs: number): void {
    this.changes += 1;
    const all = this.#held[gpu]!;
    const stepMs = this.#atWork[gpu]!.stepMs(this.kind[gpu]!) * this.drag[gpu]!;
    this.stepMs[gpu] = stepMs;
    const paceNow = stepMs * this.stretch[gpu]!;
    const prefillUntilMs = this.prefillUntilMs[gpu]!;
    let remaining = 0;
    let slackMs = Number.POSITIVE_INFINITY;
    let tightTokens = 0;
    let mostTokens = 0;
    for (const held of all) {
      const { work, doneTokens, prefilledAtMs } = held;
      const tokens = Math.max(OVERTIME_TOKENS, work.outputTokens - doneTokens);
      remaining += tokens;
      held.leftTokens = tokens;
      if (work.dueAtMs === Number.POSITIVE_INFINITY) continue;
      const fromMs = Math.max(nowMs, prefilledAtMs);
      const paceMs = (work.dueAtMs - prefilledAtMs) / Math.max(1, work.outputTokens);
      const dueMs = doneTokens + OVERTIME_TOKENS < work.outputTokens ? work.dueAtMs : Math.max(work.dueAtMs, fromMs + tokens * paceMs);
      const slack = dueMs - fromMs - tokens * paceNow - Math.max(0, prefillUntilMs - fromMs) * (1 - PACE_DURING_PREFILL);
      held.slackMs = slack;
      // What is late already cannot be saved by keeping others out.
      if (slack < 0) continue;
      mostTokens = Math.max(mostTokens, tokens);
      if (slack >= slackMs) continue;
      slackMs = slack;
      tightTokens = tokens;
    }
    this.remainingTokens[gpu] = remaining;
    this.slackMs[gpu] = slackMs;
    this.tightTokens[gpu] = tightTokens;
    this.mostTokens[gpu] = mostTokens;
  }

  #learn(gpu: number, held: Held, measured: RunStatistics, nowMs: number): void {
    const kind = this.kind[gpu]!;
    const { times, work, atStart } = held;
    if (work.inputTokens > 0) this.times.learnPrefill(times, kind, measured.firstOutputMs, held.prefilledAtMs - held.placedAtMs, held.prefillMsPerToken);
    const wroteMs = measured.runMs - measured.firstOutputMs;
    const elapsedMs = nowMs - held.prefilledAtMs;
    if (measured.outputTokens < MIN_LEARNED_TOKENS || !atStart || !(wroteMs > 0 && elapsedMs > 0 && measured.firstOutputMs > 0)) return;
    const stallShare = Math.min(1, Math.max(0, (this.#stallArea[gpu]! - atStart.stallArea) / elapsedMs));
    // What reading prompts took of the time is not the iteration's.
    const wroteStepMs = (wroteMs / (measured.outputTokens - 1)) * (1 - stallShare * (1 - PACE_DURING_PREFILL));
    const drag = this.drag[gpu]!;
    const expectedMs = this.times.learnStep(times, kind, wroteStepMs / drag, this.#atWork[gpu]!.met(atStart.models, elapsedMs));
    if (expectedMs <= 0 || times.outcomes[kind]! < KIND_KNOWN_AFTER || this.#ofKind[kind]! < MIN_PEERS) return;
    const ratio = Math.min(MAX_DRAG_RATIO, Math.max(1 / MAX_DRAG_RATIO, wroteStepMs / (drag * expectedMs)));
    // What all of a kind have in common is the kind's: each GPU is drawn back to it.
    this.drag[gpu] = Math.min(MAX_DRAG, Math.max(1 / MAX_DRAG, drag * (1 + DRAG_GAIN * (ratio - 1)) + DRAG_RETURN * (1 - drag)));
  }

  #grow(): void {
    const capacity = this.kind.length * 2;
    this.widen(capacity);
    this.#asOfMs = wider(this.#asOfMs, capacity);
    this.#stallArea = wider(this.#stallArea, capacity);
    this.#stallShare = wider(this.#stallShare, capacity);
  }
}
