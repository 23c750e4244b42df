// The resource estimator (C3): what a request will need and how long it will take, from what it says, else from what the likes of it took.
// What it learns is not durable: it is learned again within a few outcomes.
import { FadingHistogram } from "../../lib/fading-histogram.js";
import { putLast } from "../../lib/put-last.js";
import type { EstimateAccuracy, ResourceEstimate } from "../model/decision.js";
import { wishesOf, type RequestSpec, type RunStatistics } from "../model/request.js";
import { Accuracy } from "./accuracy.js";

/** Share by which one outcome moves a learned mean. */
const GAIN = 0.1;
/** Answer lengths scatter much more than the rest: the mean takes more outcomes. */
const LENGTH_GAIN = 0.02;
/**
 * What is guessed of the length of answers counts like so many of them. The first to end are the short ones: a mean of them alone lets in
 * far more requests than can be kept, for minutes.
 */
const GUESSED_OUTCOMES = 16;
/** Outcomes before a group is believed. */
const MIN_OUTCOMES = 3;
/** Bound on groups; the least recently learned goes first. */
const MAX_GROUPS = 10_000;
/** Before anything is known. Memory 0: the model is loaded and holds what it uses. */
const DEFAULT_DURATION_MS = { inference: 1_000, other: 60_000 } as const;
/** What is promised of a spread: so many outcomes are not above it. */
const SPREAD_SHARE = 0.9;
/** Before anything was learned: what a request says of itself is not far off, a guess may be. */
const DEFAULT_SPREAD = { request: 1.3, default: 3 } as const;
const MAX_SPREAD = 10;
/** Answer to a prompt whose length is all that is known. */
const DEFAULT_OUTPUT_TOKENS = 200;

interface Group {
  outcomes: number;
  runMs: number;
  /** Run time per output token where tokens are counted, ms; 0 where not. */
  msPerToken: number;
  peakMemoryMib: number;
  inputTokens: number;
  outputTokens: number;
  /** Run times over what was expected of them at their placement. */
  readonly ratios: FadingHistogram;
}

export class Estimator {
  readonly #groups = new Map<string, Group>();
  readonly #accuracy = new Accuracy();
  readonly #learns: boolean;

  /** One that does not learn believes nothing but the request. */
  constructor(learns = true) {
    this.#learns = learns;
  }

  /** What `spec` says itself wins; memory, time and tokens are filled in separately. */
  estimate(spec: RequestSpec): ResourceEstimate {
    const { requirements } = spec;
    const { group, kin } = this.#known(spec);
    const memoryMib = requirements.memoryMib > 0 ? requirements.memoryMib : Math.ceil(group?.peakMemoryMib ?? 0);
    const learnedMs = kin && (kin.msPerToken > 0 && requirements.outputTokens > 0 ? kin.msPerToken * requirements.outputTokens : kin.runMs);
    const durationMs = Math.round(requirements.expectedDurationMs || learnedMs || DEFAULT_DURATION_MS[spec.type === "inference" ? "inference" : "other"]);
    const source = requirements.expectedDurationMs > 0 ? "request" : kin ? "learned" : "default";
    const inputTokens = requirements.inputTokens || Math.round(group?.inputTokens ?? 0);
    const outputTokens = requirements.outputTokens || Math.round(group?.outputTokens || (requirements.inputTokens > 0 ? kin?.outputTokens || DEFAULT_OUTPUT_TOKENS : 0));
    return inputTokens + outputTokens > 0 ? { memoryMib, durationMs, source, inputTokens, outputTokens } : { memoryMib, durationMs, source };
  }

  /** How many times the expected it may take: not exceeded in nine of ten cases. */
  spread(spec: RequestSpec): number {
    const saysItself = spec.requirements.expectedDurationMs > 0;
    const { kin } = this.#known(spec);
    if (!kin || kin.ratios.count === 0) return DEFAULT_SPREAD[saysItself ? "request" : "default"];
    // Who always asks for twice what it takes is known for it; a mean that was learned since is not below itself.
    return Math.min(MAX_SPREAD, Math.max(saysItself ? 0 : 1, kin.ratios.quantile(SPREAD_SHARE)));
  }

  /** How near the estimates came, by type and model: those with most outcomes first, at most `most`. */
  accuracy(most: number): readonly EstimateAccuracy[] {
    return this.#accuracy.all(most);
  }

  /**
   * Takes a success in, which was expected to take `expectedMs`, and returns how fast it was against the likes of it, 0..1: 0.5 is the mean, 1 is twice as fast or
   * more. -1 while there is nothing to compare with.
   */
  learn(spec: RequestSpec, statistics: RunStatistics, expectedMs: number = statistics.runMs): number {
    this.#accuracy.learn(spec, { expectedMs, p90Ms: expectedMs * this.spread(spec), actualMs: statistics.runMs });
    const ofLikes = this.#lengthOf(ofType(spec), DEFAULT_OUTPUT_TOKENS);
    this.#take(ofUser(spec), statistics, expectedMs, this.#lengthOf(ofModel(spec), ofLikes));
    this.#take(ofType(spec), statistics, expectedMs, DEFAULT_OUTPUT_TOKENS);
    return this.#take(ofModel(spec), statistics, expectedMs, ofLikes);
  }

  /** How long the answers of a group are, known well or not; `otherwise` before the first. */
  #lengthOf(key: string, otherwise: number): number {
    return this.#groups.get(key)?.outputTokens || otherwise;
  }

  /** `guessedTokens`: how long its answers are taken to be before the first. */
  #take(key: string, statistics: RunStatistics, placedMs: number, guessedTokens: number): number {
    const group = this.#groups.get(key) ?? newGroup();
    const tokens = statistics.outputTokens;
    const msPerToken = tokens > 0 ? statistics.runMs / tokens : 0;
    const expectedMs = tokens > 0 && group.msPerToken > 0 ? group.msPerToken * tokens : group.runMs;
    const relativeSpeed = group.outcomes < MIN_OUTCOMES || statistics.runMs <= 0 ? -1 : Math.min(1, (0.5 * expectedMs) / statistics.runMs);

    const first = 1 / (group.outcomes + 1);
    const gain = Math.max(GAIN, first);
    const lengthGain = Math.max(LENGTH_GAIN, 1 / (group.outcomes + 1 + GUESSED_OUTCOMES));
    if (group.outputTokens === 0 && tokens > 0) group.outputTokens = guessedTokens;
    group.outcomes += 1;
    group.runMs += (statistics.runMs - group.runMs) * gain;
    if (msPerToken > 0) group.msPerToken += (msPerToken - group.msPerToken) * (group.msPerToken === 0 ? 1 : gain);
    if (placedMs > 0) group.ratios.add(statistics.runMs / placedMs);
    // Memory must not be underestimated: up at once, down slowly.
    group.peakMemoryMib = Math.max(statistics.peakMemoryMib, group.peakMemoryMib * (1 - GAIN) + statistics.peakMemoryMib * GAIN);
    group.inputTokens += (statistics.inputTokens - group.inputTokens) * Math.max(LENGTH_GAIN, first);
    group.outputTokens += (tokens - group.outputTokens) * lengthGain;
    putLast(this.#groups, key, group, MAX_GROUPS);
    return relativeSpeed;
  }

  /** `group` is the user's requests of the model, else everybody's. Other models' of this type, in `kin`, are better than a guess for its time, and say nothing of memory. */
  #known(spec: RequestSpec): { readonly group: Group | null; readonly kin: Group | null } {
    const group = this.#believed(ofUser(spec)) ?? this.#believed(ofModel(spec));
    return { group, kin: group ?? this.#believed(ofType(spec)) };
  }

  #believed(key: string): Group | null {
    const group = this.#groups.get(key);
    return this.#learns && group && group.outcomes >= MIN_OUTCOMES ? group : null;
  }
}

function newGroup(): Group {
  return { outcomes: 0, runMs: 0, msPerToken: 0, peakMemoryMib: 0, inputTokens: 0, outputTokens: 0, ratios: new FadingHistogram() };
}

function ofUser(spec: RequestSpec): string {
  return `${ofModel(spec)}\n${spec.userId}`;
}

/** Work on several GPUs takes another time than the same on one. */
function ofModel(spec: RequestSpec): string {
  const { gpus } = wishesOf(spec);
  return gpus > 1 ? `${spec.type}\n${spec.modelId}\n${gpus} GPUs` : `${spec.type}\n${spec.modelId}`;
}

/** Of no model: those have names. */
function ofType(spec: RequestSpec): string {
  const { gpus } = wishesOf(spec);
  return gpus > 1 ? `${spec.type}\n\n${gpus} GPUs` : `${spec.type}\n`;
}
