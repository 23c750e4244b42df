// Quantities as people read them: durations, counts, shares, times. Also makes foreign text safe to print.
import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";

/** 0.4 ms, 12 ms, 3.2 s, 4 min 10 s, 2 h 5 min; "-" for null. */
export function durationText(ms: number | null): string {
  if (ms === null || Number.isNaN(ms)) return "-";
  if (ms === 0) return "0 ms";
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 12,345. */
export function countText(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** Three significant digits or so: 0.123, 12.3, 1,234. */
export function rateText(value: number): string {
  if (value >= 99.95) return countText(value);
  return value.toFixed(value >= 9.995 ? 1 : 2);
}

/** A ratio 0..1 as a percentage with one decimal; never rounds up to 100% or down to 0% what is not. */
export function shareText(ratio: number): string {
  if (ratio <= 0 || ratio >= 1) return `${Math.round(ratio * 100)}%`;
  return `${Math.min(99.9, Math.max(0.1, ratio * 100)).toFixed(1)}%`;
}

/** UTC, to the millisecond; "-" when absent. */
export function timeText(time: Timestamp | undefined): string {
  return time === undefined ? "-" : timestampDate(time).toISOString();
}

/** Milliseconds since 1970, or null when absent. */
export function timeMs(time: Timestamp | undefined): number | null {
  return time === undefined ? null : Number(time.seconds) * 1000 + time.nanos / 1e6;
}

/** Text from elsewhere without control characters, so that it cannot drive the reader's terminal. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  return text.replaceAll(/[\u0000-\u001F\u007F-\u009F\u2028\u2029\u202A-\u202E\u2066-\u2069]/g, "\uFFFD");
}
