// What engines have in them that did not come through this router, by what they tell of themselves: other callers of the same engine. Part of
// work-ledger.ts, where it makes iterations longer and takes room in the cache. What is told once may be a moment's; told twice it counts.
import type { ModelTimes } from "../estimate/service-times.js";

/** What the engines of a GPU said at a time that they hold: requests, and tokens of 128 KiB in the cache. */
export interface EngineFigures {
  readonly modelId: string;
  readonly requests: number;
  readonly tokens: number;
  readonly atMs: number;
}

/** Requests on one GPU that are none of ours, and their tokens in the cache, of 128 KiB. */
export interface Others {
  readonly times: ModelTimes;
  readonly count: number;
  readonly tokens: number;
}

interface Engine {
  readonly told: Others;
  counted: Others;
  /** When our last requests there were placed and ended, ms; the latest at the end. */
  readonly ended: { readonly placedAtMs: number; readonly atMs: number }[];
}

/** Ends that are remembered of a GPU: those between two figures of its engine. */
const MOST_ENDED = 256;

export class OthersWork {
  /** By GPU, of those whose engines have told anything. */
  readonly #engines = new Map<number, Engine>();

  /** One of ours has ended. */
  ended(gpu: number, placedAtMs: number, atMs: number): void {
    const engine = this.#engines.get(gpu);
    if (!engine) return;
    engine.ended.push({ placedAtMs, atMs });
    if (engine.ended.length > MOST_ENDED) engine.ended.shift();
  }

  /** How many of ours were there at a time and have ended since. */
  endedSince(gpu: number, sinceMs: number): number {
    return this.#engines.get(gpu)?.ended.filter(({ placedAtMs, atMs }) => placedAtMs <= sinceMs && atMs > sinceMs).length ?? 0;
  }

  /** Whether requests that are none of ours count. */
  has(gpu: number): boolean {
    return (this.of(gpu)?.count ?? 0) > 0;
  }

  /** What counts; undefined when its engine never told anything. */
  of(gpu: number): Others | undefined {
    return this.#engines.get(gpu)?.counted;
  }

  /** What counted counts no more. */
  forget(gpu: number): void {
    const engine = this.#engines.get(gpu);
    if (engine) engine.counted = { ...engine.counted, count: 0, tokens: 0 };
  }

  /** What is none of ours by the engine's latest figures. */
  tell(gpu: number, told: Others): void {
    const before = this.#engines.get(gpu);
    const counted = { times: told.times, count: Math.min(told.count, before?.told.count ?? 0), tokens: Math.min(told.tokens, before?.told.tokens ?? 0) };
    this.#engines.set(gpu, { told, counted, ended: before?.ended ?? [] });
  }
}
