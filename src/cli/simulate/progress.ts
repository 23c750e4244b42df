// How far simulations are, on stderr: one line redrawn on a terminal, a plain line now and then in a log.
import type { PoolProgress } from "../../sim/trial-pool.js";
import { durationText } from "../quantity-text.js";
import { isRedrawable, type Terminal } from "../terminal.js";
import { truncate } from "../text-table.js";

const REDRAW_MS = 200;
const LOG_MS = 10_000;
const BAR_WIDTH = 24;

export interface SimulationProgress {
  /** What is under way, in words. */
  readonly what: string;
  readonly pool: PoolProgress;
  readonly elapsedMs: number;
  /** Whether `pool` knows of all runs there will be; a search decides as it goes. */
  readonly foreseen: boolean;
}

/** "3 of 12 runs, 45 s, about 2 min left". */
function progressText({ what, pool, elapsedMs, foreseen }: SimulationProgress): string {
  const partly = pool.running.reduce((sum, share) => sum + share, 0);
  const total = pool.done + pool.running.length + pool.waiting;
  const done = pool.done + partly;
  const left = foreseen && done > 0.2 && done < total ? `, about ${durationText(Math.ceil(((elapsedMs / done) * (total - done)) / 1000) * 1000)} left` : "";
  return `${what}: ${foreseen ? `${pool.done} of ${total}` : pool.done} runs, ${durationText(Math.floor(elapsedMs / 1000) * 1000)}${left}`;
}

/** Shows progress until the returned function is called, which clears the line; calling it again does nothing. `print` writes lines above it. */
export function showProgress(terminal: Terminal, progress: () => SimulationProgress): { stop(): void } {
  const { stderr, env } = terminal;
  const redraw = isRedrawable(stderr, env);
  const show = (): void => {
    const now = progress();
    const { pool } = now;
    if (!redraw) {
      stderr.write(`simulate: ${progressText(now)}\n`);
      return;
    }
    const total = pool.done + pool.running.length + pool.waiting;
    const filled = Math.round((BAR_WIDTH * (pool.done + pool.running.reduce((sum, share) => sum + share, 0))) / Math.max(1, total));
    const bar = now.foreseen ? `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)} ` : "";
    stderr.write(`\r${truncate(`${bar}${progressText(now)}`, (stderr.columns ?? 100) - 1)}\u001B[K`);
  };
  const timer = setInterval(show, redraw ? REDRAW_MS : LOG_MS);
  let ended = false;
  return {
    stop() {
      clearInterval(timer);
      if (ended || !redraw) return;
      ended = true;
      stderr.write("\r\u001B[K");
    },
  };
}
