// How far a replay is, on stderr: one line redrawn on a terminal, a plain line now and then in a log.
import { countText, durationText, rateText } from "../quantity-text.js";
import { isRedrawable, widthOf, type Terminal } from "../terminal.js";
import { truncate } from "../text-table.js";
import type { RunCounters } from "./run.js";

const REDRAW_MS = 200;
const LOG_MS = 5000;
const BAR_WIDTH = 24;

export interface Progress {
  readonly counters: Readonly<RunCounters>;
  readonly total: number;
  readonly elapsedMs: number;
  /** Length of the schedule, ms: the last request is due then. */
  readonly scheduleMs: number;
}

/** The line without its bar: sent, done, failed, rate, time left. */
export function progressText({ counters, total, elapsedMs, scheduleMs }: Progress): string {
  const { sent, inFlight, completed } = counters;
  const bad = counters.failed + counters.refused + counters.unanswered + counters.lost + counters.unfinished;
  const rate = (sent - inFlight) / Math.max(0.001, elapsedMs / 1000);
  // Sending goes by the clock; behind its end only the requests in flight are left.
  const leftMs = sent < total ? Math.max(0, scheduleMs - elapsedMs) : null;
  const eta = leftMs === null ? (inFlight > 0 ? "waiting for the last ones" : "done") : `sending for ${durationText(Math.ceil(leftMs / 1000) * 1000)} more`;
  return `sent ${countText(sent)}/${countText(total)}, done ${countText(completed)}, failed ${countText(bad)}, in flight ${countText(inFlight)}, ${rateText(rate)}/s, ${eta}`;
}

/** Shows progress until the returned function is called, which completes the line; calling it again does nothing. */
export function showProgress(terminal: Terminal, progress: () => Progress): () => void {
  const { stderr, env } = terminal;
  const redraw = isRedrawable(stderr, env);
  const show = (): void => {
    const now = progress();
    const text = progressText(now);
    if (!redraw) {
      stderr.write(`replay: ${text}\n`);
      return;
    }
    const ended = now.counters.sent - now.counters.inFlight;
    const filled = Math.round((BAR_WIDTH * ended) / Math.max(1, now.total));
    const sent = Math.round((BAR_WIDTH * now.counters.sent) / Math.max(1, now.total));
    const bar = "█".repeat(filled) + "▒".repeat(Math.max(0, sent - filled)) + "░".repeat(Math.max(0, BAR_WIDTH - Math.max(sent, filled)));
    stderr.write(`\r${truncate(`${bar} ${text}`, widthOf(stderr) - 1)}\u001B[K`);
  };
  const timer = setInterval(show, redraw ? REDRAW_MS : LOG_MS);
  let ended = false;
  return () => {
    clearInterval(timer);
    if (!redraw || ended) return;
    ended = true;
    show();
    stderr.write("\n");
  };
}
