// A line on stderr that says how far long work is: redrawn in place on a terminal, a plain line now and then in a log. Used by the commands
// that have such work; what it says, and how it ends, is theirs.
import { isRedrawable, widthOf, type Terminal } from "./terminal.js";
import { truncate } from "./text-table.js";

const REDRAW_MS = 200;
const BAR_WIDTH = 24;

export interface ProgressLine {
  /** Whether it is redrawn; else it is written into a log. */
  readonly redraws: boolean;
  /** Shows how far the work is now. */
  show(): void;
  /** Shows nothing of itself any more; the line stays as it is. */
  stop(): void;
}

/** `name` begins the lines of a log, which come every `logMs`; a log gets no bar. `paint` colours a redrawn line. */
export function progressLine({ stderr, env }: Terminal, name: string, logMs: number, now: () => { readonly bar: string; readonly text: string }, paint = (line: string): string => line): ProgressLine {
  const redraws = isRedrawable(stderr, env);
  const show = (): void => {
    const { bar, text } = now();
    stderr.write(redraws ? `\r${paint(truncate([bar, text].filter((part) => part !== "").join(" "), widthOf(stderr) - 1))}\u001B[K` : `${name}: ${text}\n`);
  };
  const timer = setInterval(show, redraws ? REDRAW_MS : logMs);
  return { redraws, show, stop: () => clearInterval(timer) };
}

/** What of `total` is done, and in a lighter shade what has begun. */
export function progressBar(done: number, total: number, begun = done): string {
  const width = (part: number): number => Math.round((BAR_WIDTH * part) / Math.max(1, total));
  const filled = width(done);
  const shaded = Math.max(filled, width(begun));
  return "█".repeat(filled) + "▒".repeat(shaded - filled) + "░".repeat(Math.max(0, BAR_WIDTH - shaded));
}
