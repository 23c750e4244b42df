// What engines have in them that did not come through this router, by what they tell of themselves: other callers of the same engine. Part of
// work-ledger.ts, where it makes iterations longer and takes room in the cache. What is told once may be a moment's; told twice it counts.
import type { ModelTimes } from "../estimate/service-times.js";

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

  has(gpu: number): boolean {
    return (this.#engines.get(gpu)?.counted.count ?? 0) > 0;
  }

  /** What counted so far counts no more; undefined when its engine never told anything. */
  forget(gpu: number): Others | undefined {
    const engine = this.#engines.get(gpu);
    if (!engine) return undefined;
    const { counted } = engine;
    engine.counted = { ...counted, count: 0, tokens: 0 };
    return counted;
  }

  /** What is none of ours by the engine's latest figures; what counts from now on. */
  tell(gpu: number, told: Others): Others {
    const before = this.#engines.get(gpu);
    const counted = { times: told.times, count: Math.min(told.count, before?.told.count ?? 0), tokens: Math.min(told.tokens, before?.told.tokens ?? 0) };
    this.#engines.set(gpu, { told, counted, ended: before?.ended ?? [] });
    return counted;
  }
}
