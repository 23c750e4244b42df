// How far a replay is, on stderr.
import { progressBar, progressLine } from "../progress-line.js";
import { countText, durationText, rateText } from "../quantity-text.js";
import type { Terminal } from "../terminal.js";
import type { RunCounters } from "./run.js";

const LOG_MS = 5000;

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
  const line = progressLine(terminal, "replay", LOG_MS, () => {
    const now = progress();
    const { sent, inFlight } = now.counters;
    return { bar: progressBar(sent - inFlight, now.total, sent), text: progressText(now) };
  });
  let ended = false;
  return () => {
    line.stop();
    if (!line.redraws || ended) return;
    ended = true;
    line.show();
    terminal.stderr.write("\n");
  };
}
