// How far simulations are, on stderr.
import type { PoolProgress } from "../../sim/trial-pool.js";
import { progressBar, progressLine } from "../progress-line.js";
import { durationText } from "../quantity-text.js";
import type { Terminal } from "../terminal.js";

const LOG_MS = 10_000;

export interface SimulationProgress {
  /** What is under way, in words. */
  readonly what: string;
  readonly pool: PoolProgress;
  readonly elapsedMs: number;
  /** Whether `pool` knows of all runs there will be; a search decides as it goes. */
  readonly foreseen: boolean;
}

/** In runs, those under way in part. */
function amounts({ pool }: SimulationProgress): { readonly done: number; readonly total: number } {
  return { done: pool.running.reduce((sum, share) => sum + share, pool.done), total: pool.done + pool.running.length + pool.waiting };
}

/** "3 of 12 runs, 45 s, about 2 min left". */
function progressText(progress: SimulationProgress): string {
  const { what, pool, elapsedMs, foreseen } = progress;
  const { done, total } = amounts(progress);
  const left = foreseen && done > 0.2 && done < total ? `, about ${durationText(Math.ceil(((elapsedMs / done) * (total - done)) / 1000) * 1000)} left` : "";
  return `${what}: ${foreseen ? `${pool.done} of ${total}` : pool.done} runs, ${durationText(Math.floor(elapsedMs / 1000) * 1000)}${left}`;
}

/** Shows progress until it is stopped, which clears the line; stopping it again does nothing. */
export function showProgress(terminal: Terminal, progress: () => SimulationProgress): { stop(): void } {
  const line = progressLine(terminal, "simulate", LOG_MS, () => {
    const now = progress();
    const { done, total } = amounts(now);
    return { bar: now.foreseen ? progressBar(done, total) : "", text: progressText(now) };
  });
  let ended = false;
  return {
    stop() {
      line.stop();
      if (ended || !line.redraws) return;
      ended = true;
      terminal.stderr.write("\r\u001B[K");
    },
  };
}
